-- A former picture is deleted if who replaced it had uploaded it for a community. An older version does not say who;
-- what it writes is nobody's, and stays.
--
-- Who begins to show a file, takes it from a community, or is about to have it deleted locks its id first, by
-- `pg_advisory_xact_lock`: behind interactions, before notifications, several by id.
alter table discarded_media
    add discarded_by uuid not null default '00000000-0000-0000-0000-000000000000';

-- What somebody made, when their account is deleted.
create index communities_made_by on communities (created_by) where created_by is not null;

-- Administrators also change and delete what others wrote.
alter table moderation_log drop constraint moderation_log_action_is_known;
alter table moderation_log add constraint moderation_log_action_is_known check (
    action in (
        'REMOVE', 'RESTORE', 'LOCK', 'UNLOCK', 'PIN', 'UNPIN', 'BAN', 'UNBAN', 'DISMISS', 'ROLE', 'EDIT', 'DELETE'
    )
);
