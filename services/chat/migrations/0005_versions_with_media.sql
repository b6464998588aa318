-- The file that a message showed, where a change took it away: else moderators would not learn what was deleted. No
-- reference to anything: the file may be gone itself by now.
alter table versions
    add column media_id uuid,
    add column media_number bigint,
    add constraint versions_media_is_whole check ((media_id is null) = (media_number is null));
