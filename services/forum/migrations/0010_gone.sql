-- Whose account is gone. The notes stay for ever: who makes a membership looks here first, under the person's lock
-- (`pg_advisory_xact_lock`), which whoever notes somebody takes too, and which stands before all other locks.
create table gone (
    user_id uuid constraint gone_pkey primary key,
    at timestamptz not null
);
