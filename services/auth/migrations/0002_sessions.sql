create table sessions (
    id uuid constraint sessions_pkey primary key,
    account_id uuid not null constraint sessions_account_id_fkey references accounts,
    device text not null constraint sessions_device_length check (length(device) <= 255),
    place text not null,
    created_at timestamptz not null,
    last_used_at timestamptz not null,
    -- When it ends if nobody refreshes it.
    expires_at timestamptz not null,
    -- When the last access token issued on it expires: until then an ended session must be refused by everybody.
    access_until timestamptz not null,
    ended_at timestamptz,
    -- When Redis was told; absent means that it has to be (again).
    announced_at timestamptz,
    constraint sessions_announced_after_end check (announced_at is null or ended_at is not null)
);

-- The list of one's sessions, the hundred-session limit, and ending them all.
create index sessions_live_idx on sessions (account_id, last_used_at desc) where ended_at is null;
-- ListRevocations: ended while tokens still live. Both go once the tokens are dead, so it stays small.
create index sessions_revoked_idx on sessions (access_until) where ended_at is not null;
-- What Redis has not been told yet: nearly always empty.
create index sessions_unannounced_idx on sessions (ended_at) where ended_at is not null and announced_at is null;
-- The sweeper forgets sessions that ran out.
create index sessions_expires_at_idx on sessions (expires_at);

-- A refresh token is stored as its SHA-256 (it is 256 random bits, so a plain hash keeps it). A spent one stays until
-- it expires: seeing it again is how a theft shows.
create table refresh_tokens (
    hash bytea constraint refresh_tokens_pkey primary key,
    session_id uuid not null constraint refresh_tokens_session_id_fkey references sessions on delete cascade,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    spent_at timestamptz
);

-- Deleting a session deletes its tokens.
create index refresh_tokens_session_id_idx on refresh_tokens (session_id);
-- The sweeper forgets tokens that expired.
create index refresh_tokens_expires_at_idx on refresh_tokens (expires_at);

-- Failed tries in a row, per login name. The name is a keyed hash, so that this table is no list of who tried to log
-- in, and it need not exist: unknown names are locked like known ones.
create table login_failures (
    name bytea constraint login_failures_pkey primary key,
    failures integer not null constraint login_failures_positive check (failures > 0),
    failed_at timestamptz not null,
    locked_until timestamptz
);

-- Forgotten an hour after the last failure, so the table cannot grow beyond an hour of tries.
create index login_failures_failed_at_idx on login_failures (failed_at);

-- Keys that sign access tokens. The newest whose time has come signs; every row is published.
create table signing_keys (
    id text constraint signing_keys_pkey primary key,
    public_key bytea not null constraint signing_keys_public_key_length check (length(public_key) = 32),
    -- PKCS#8, sealed with a key derived from PLAZA_SECRET and bound to the id.
    sealed_private_key bytea not null,
    created_at timestamptz not null,
    -- Two replicas cannot both add the next key.
    signs_from timestamptz not null constraint signing_keys_signs_from_key unique
);
