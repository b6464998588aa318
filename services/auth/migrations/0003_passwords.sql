-- Codes and links that reset a password. A name nobody has gets a row too, without an account: the request must not
-- take another path, or another time, than a real one.
create table password_resets (
    id uuid constraint password_resets_pkey primary key,
    -- One per account: a new request replaces the former one in the same statement.
    account_id uuid constraint password_resets_account_id_key unique
        constraint password_resets_account_id_fkey references accounts,
    -- Of a code: its HMAC under the row's id, since six digits would be guessed from a plain hash. Of a link: SHA-256.
    secret_hash bytea not null,
    kind text not null constraint password_resets_kind_known check (kind in ('CODE', 'LINK')),
    tries integer not null default 0 constraint password_resets_tries_limited check (tries between 0 and 5),
    created_at timestamptz not null,
    expires_at timestamptz not null
);

-- A link is found by its token.
create index password_resets_secret_hash_idx on password_resets (secret_hash) where kind = 'LINK';
-- The sweeper forgets what expired.
create index password_resets_expires_at_idx on password_resets (expires_at);

-- When resets were asked for, per phone or email, per client address and per phone prefix, as keyed hashes.
create table request_limits (
    subject bytea constraint request_limits_pkey primary key,
    -- Within the window; never longer than the limit.
    recent timestamptz[] not null,
    last_at timestamptz not null
);

-- Forgotten once the window has passed.
create index request_limits_last_at_idx on request_limits (last_at);

-- Messages to be sent, one row per recipient; gone once sent.
create table deliveries (
    id uuid constraint deliveries_pkey primary key,
    channel text not null constraint deliveries_channel_known check (channel in ('SMS', 'MAIL')),
    -- Recipient and text, sealed: the text holds a code that is nowhere else in clear.
    sealed_message bytea not null,
    -- Written for a name that nobody has, so that both kinds of request cost the same. Never sent.
    void boolean not null,
    attempts integer not null default 0,
    created_at timestamptz not null,
    next_attempt_at timestamptz not null,
    -- When the code in it is dead and sending it would only confuse.
    expires_at timestamptz not null
);

-- The worker takes what is due, oldest first.
create index deliveries_next_attempt_at_idx on deliveries (next_attempt_at);

-- TOTP secrets. Not confirmed: begun, and without effect.
create table second_factors (
    account_id uuid constraint second_factors_pkey primary key
        constraint second_factors_account_id_fkey references accounts,
    sealed_secret bytea not null,
    created_at timestamptz not null,
    confirmed_at timestamptz,
    -- The last 30-second step whose code was used; a code is good once, so the next must be of a later step.
    last_step bigint not null default 0
);

-- Codes that stand in for a TOTP code, as keyed hashes. Using one deletes it.
create table recovery_codes (
    account_id uuid constraint recovery_codes_account_id_fkey references second_factors on delete cascade,
    hash bytea,
    constraint recovery_codes_pkey primary key (account_id, hash)
);
