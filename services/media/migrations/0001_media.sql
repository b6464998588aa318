-- Files (what people see), blobs (the stored bytes they refer to) and doomed objects (bytes that must go).

-- The bytes behind files, as they lie in the object storage: an object for the file itself and, for pictures, two
-- smaller ones. Rows never change; keys are unguessable and never used again, so a URL's bytes never change either.
create table blobs (
    id uuid primary key,
    -- Whose equal bytes share this blob. Null for anonymous uploads, which share with nobody, and still null after the
    -- file is claimed, because the URL that was handed out must stay.
    owner_id uuid,
    -- Of the bytes as they were uploaded.
    sha256 bytea not null constraint blobs_sha256_length check (length(sha256) = 32),
    folder text not null,
    content_type text not null,
    width integer not null,
    height integer not null,
    object_key text not null constraint blobs_object_key_key unique,
    size bigint not null constraint blobs_size_positive check (size > 0),
    thumbnail_key text constraint blobs_thumbnail_key_key unique,
    thumbnail_size bigint,
    preview_key text constraint blobs_preview_key_key unique,
    preview_size bigint,
    created_at timestamptz not null,
    constraint blobs_small_ones_together check (
        num_nulls(thumbnail_key, thumbnail_size, preview_key, preview_size) in (0, 4)
    ),
    -- One owner's equal bytes are stored once. The folder is part of it because it is part of the URL, and because a
    -- private folder's bytes must not become public through a second upload. Two uploads at once meet here: the second
    -- waits for the first and takes its row.
    constraint blobs_once_per_owner unique (owner_id, sha256, folder)
);

create table files (
    id uuid primary key,
    number bigint generated always as identity constraint files_number_key unique,
    -- Null until somebody claims an anonymous upload.
    owner_id uuid,
    -- Network address of an anonymous uploader, for the hourly limit; forgotten when the hour is over.
    uploader text,
    name text,
    description text,
    price_hundredths bigint,
    folder text not null constraint files_folder_known check (
        folder in ('media', 'portfolio', 'products', 'verification', 'chat', 'profiles', 'avatars')
    ),
    -- Null for a description without a file. A blob lives as long as a file refers to it.
    blob_id uuid constraint files_blob_fkey references blobs (id),
    created_at timestamptz not null,
    updated_at timestamptz not null
);

-- An owner's files, newest first: numbers grow with time and, unlike times, are never equal.
create index files_of_owner on files (owner_id, number desc);
-- "Does anything still refer to this blob?", and the foreign key's check.
create index files_of_blob on files (blob_id) where blob_id is not null;
-- What nobody claimed in time.
create index files_unclaimed on files (created_at) where owner_id is null;
-- The hourly limit of an address, and the addresses to forget.
create index files_of_uploader on files (uploader, created_at) where uploader is not null;

-- Objects to delete from the storage. A row is written before its object exists and removed by the transaction that
-- refers to it, or written by the transaction that drops the last reference: whatever crashes when, no bytes are left
-- behind and none that are needed are deleted.
create table doomed_objects (
    key text primary key,
    due_at timestamptz not null,
    -- How often the sweeper took it. Once it has, no upload may refer to the object any more.
    attempts integer not null default 0
);

create index doomed_objects_due on doomed_objects (due_at);
