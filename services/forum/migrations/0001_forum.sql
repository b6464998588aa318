-- Communities, posts, comments, reactions, and what follows from them. Counters change in the transaction of the fact
-- they count. Whoever locks or changes several rows takes them in this order, so that no two wait for each other:
--
--   request_limits → communities → posts → comments (a parent before its reply) → reactions → memberships, bans,
--   reported → interactions (by user) → notifications → discarded_media → the outbox
--
-- Two rows of one table are taken by id.

-- Reddit's published formula, without its rounding to seven decimals, which would only make ties.
create function hot(score bigint, created_at timestamptz) returns double precision
    language sql immutable strict parallel safe
    return sign(score::double precision) * log(greatest(abs(score), 1)::double precision)
        + extract(epoch from created_at - timestamptz '2005-12-08 07:46:43+00')::double precision / 45000;

-- Reddit's published formula: many votes, evenly split.
create function controversy(ups bigint, downs bigint) returns double precision
    language sql immutable strict parallel safe
    return case
        when ups <= 0 or downs <= 0 then 0
        else power((ups + downs)::double precision, least(ups, downs)::double precision / greatest(ups, downs))
    end;

-- What a post means to everybody; the contract's formula.
create function relevance(comments bigint, hearts bigint, likes bigint, dislikes bigint, views bigint)
    returns double precision
    language sql immutable strict parallel safe
    return greatest(
        ln(1 + 2 * comments + hearts + likes + 0.05::double precision * views)
            - 0.5::double precision * ln(1 + dislikes::double precision),
        0
    );

create table communities (
    id bigint generated always as identity constraint communities_pkey primary key,
    name text not null constraint communities_name_key unique,
    slug text not null constraint communities_slug_key unique,
    short_description text not null default '',
    description text not null default '',
    -- A picture is a URL, or a path at the edge; with the file's id if it was uploaded for this community.
    cover_image text,
    cover_media_id uuid,
    avatar text,
    avatar_media_id uuid,
    -- Who made it: nobody made the seeds.
    created_by uuid,
    created_by_number bigint,
    -- Who becomes a member without asking; only seeds have such.
    joined_by text,
    members_count bigint not null default 0,
    -- Visible posts.
    posts_count bigint not null default 0,
    created_at timestamptz not null,
    constraint communities_creator_is_whole check ((created_by is null) = (created_by_number is null)),
    constraint communities_joined_by_is_known check (joined_by in ('EVERYBODY', 'CONSUMER', 'SPECIALIST', 'BUSINESSMAN')),
    constraint communities_cover_has_a_path check (cover_media_id is null or cover_image is not null),
    constraint communities_avatar_has_a_path check (avatar_media_id is null or avatar is not null),
    constraint communities_counts_are_counts check (members_count >= 0 and posts_count >= 0)
);

-- The order of the list.
create index communities_largest on communities (members_count desc, created_at desc, id desc);
-- Which community does a role join.
create unique index communities_joined_by on communities (joined_by) where joined_by is not null;
-- Whose picture was it, when a file is deleted.
create index communities_cover on communities (cover_media_id) where cover_media_id is not null;
create index communities_avatar on communities (avatar_media_id) where avatar_media_id is not null;

-- What every installation has. Written once: what administrators change later stays changed.
insert into communities (name, slug, short_description, description, joined_by, created_at) values
(
    'General', 'general', 'Comunidad general para todos los usuarios',
    'El lugar de encuentro de toda la comunidad: aquí caben las ideas, las preguntas y las experiencias de quienes viven '
    || 'del campo o cuidan animales, sin importar el rubro.',
    'EVERYBODY', now()
),
(
    'Ganaderos, Agricultores y Dueños de Animales', 'ganaderos-agricultores-animales',
    'Comunidad para ganaderos, agricultores y dueños de mascotas',
    'Para quienes crían ganado, trabajan la tierra o conviven con animales: información, consejos y experiencias sobre '
    || 'el cuidado de los animales y de los cultivos.',
    'CONSUMER', now()
),
(
    'Especialistas en Salud Animal y Vegetal', 'especialistas-salud', 'Veterinarios, agrónomos y especialistas',
    'Para veterinarios, agrónomos, zootecnistas y demás profesionales de la salud animal y vegetal: conocimientos, '
    || 'casos clínicos y avances de la profesión.',
    'SPECIALIST', now()
),
(
    'Agronegocios', 'agronegocios', 'Agroveterinarias y empresas del sector',
    'Para propietarios y representantes de agroveterinarias y empresas del agro: tendencias, oportunidades y estrategia '
    || 'del negocio.',
    'BUSINESSMAN', now()
);

create table memberships (
    community_id bigint not null constraint memberships_community_id_fkey references communities on delete cascade,
    user_id uuid not null,
    user_number bigint not null,
    role text not null default 'MEMBER',
    -- The list's order.
    rank integer not null generated always as (array_position(array['OWNER', 'MODERATOR', 'MEMBER'], role)) stored,
    -- Whether it came by the person's role and ends with it.
    by_role boolean not null default false,
    joined_at timestamptz not null,
    -- Set when the person left: the row stays, so that no event makes them a member again.
    left_at timestamptz,
    constraint memberships_pkey primary key (community_id, user_id),
    constraint memberships_role_is_known check (role in ('MEMBER', 'MODERATOR', 'OWNER')),
    constraint memberships_left_without_rank check (left_at is null or role = 'MEMBER')
);

-- The order of a community's list.
create index memberships_ranked on memberships (community_id, rank, joined_at, user_id) where left_at is null;
-- A person's communities: feed, "mine", and what ends with the account.
create index memberships_of_user on memberships (user_id);
create unique index memberships_one_owner on memberships (community_id) where role = 'OWNER';

create table bans (
    community_id bigint not null constraint bans_community_id_fkey references communities on delete cascade,
    user_id uuid not null,
    user_number bigint not null,
    created_at timestamptz not null,
    constraint bans_pkey primary key (community_id, user_id)
);

create table posts (
    id bigint generated always as identity constraint posts_pkey primary key,
    -- The pair never changes and stays when the account is deleted; `users` then knows nobody by it.
    author_id uuid not null,
    author_number bigint not null,
    community_id bigint constraint posts_community_id_fkey references communities on delete set null,
    title text not null,
    content text not null,
    media_id uuid,
    removed_at timestamptz,
    locked_at timestamptz,
    pinned_at timestamptz,
    views_count bigint not null default 0,
    relevance_score double precision not null default 0,
    -- Comments at any depth that are neither deleted nor removed.
    comments_count bigint not null default 0,
    hearts bigint not null default 0,
    likes bigint not null default 0,
    dislikes bigint not null default 0,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    -- Newest of its writing and its comments.
    last_activity_at timestamptz not null,
    score bigint not null generated always as (hearts + likes - dislikes) stored,
    hot double precision not null generated always as (hot(hearts + likes - dislikes, created_at)) stored,
    controversy double precision not null generated always as (controversy(hearts + likes, dislikes)) stored,
    constraint posts_counts_are_counts
        check (views_count >= 0 and comments_count >= 0 and hearts >= 0 and likes >= 0 and dislikes >= 0),
    -- Also keeps out NaN, which sorts above every number.
    constraint posts_relevance_is_finite check (relevance_score >= 0 and relevance_score < 'infinity'),
    constraint posts_pinned_in_a_community check (pinned_at is null or community_id is not null)
) with (fillfactor = 85);

-- One index per order, over all posts and within a community. Removed posts stand in no list.
create index posts_new on posts (created_at desc, id desc) where removed_at is null;
create index posts_top on posts (score desc, created_at desc, id desc) where removed_at is null;
create index posts_hot on posts (hot desc, created_at desc, id desc) where removed_at is null;
create index posts_active on posts (last_activity_at desc, created_at desc, id desc) where removed_at is null;
create index posts_controversial on posts (controversy desc, created_at desc, id desc) where removed_at is null;
create index posts_new_in on posts (community_id, created_at desc, id desc) where removed_at is null;
create index posts_top_in on posts (community_id, score desc, created_at desc, id desc) where removed_at is null;
create index posts_hot_in on posts (community_id, hot desc, created_at desc, id desc) where removed_at is null;
create index posts_active_in on posts (community_id, last_activity_at desc, created_at desc, id desc)
    where removed_at is null;
create index posts_controversial_in on posts (community_id, controversy desc, created_at desc, id desc)
    where removed_at is null;
-- An author's posts: the filter, and what somebody's interest in the author makes relevant.
create index posts_of_author on posts (author_id, created_at desc, id desc) where removed_at is null;
-- What is relevant to everybody, where the installation computes it.
create index posts_relevant on posts (relevance_score desc, created_at desc, id desc)
    where removed_at is null and relevance_score > 0;
-- All of a community's, removed ones too: for the foreign key.
create index posts_community on posts (community_id);
create index posts_pinned on posts (community_id, pinned_at desc, id desc) where pinned_at is not null;
-- Whose file was it, when it is deleted.
create index posts_media on posts (media_id) where media_id is not null;

-- The community of a post that is deleted takes the pin along, before the check above sees it.
create function posts_unpin() returns trigger language plpgsql as $$
begin
    new.pinned_at := null;
    return new;
end $$;

create trigger posts_unpin before update of community_id on posts
    for each row when (new.community_id is distinct from old.community_id) execute function posts_unpin();

-- Posts whose counters moved since their relevance was last computed, if this installation computes it. A crash of the
-- server empties the table; then their next activity counts.
create unlogged table active_posts (
    post_id bigint constraint active_posts_pkey primary key
);

create function posts_activity() returns trigger language plpgsql as $$
begin
    insert into active_posts values (new.id) on conflict do nothing;
    return null;
end $$;

create trigger posts_activity after update of comments_count, hearts, likes, dislikes, views_count on posts
    for each row execute function posts_activity();

create table comments (
    id bigint generated always as identity constraint comments_pkey primary key,
    post_id bigint not null constraint comments_post_id_fkey references posts on delete cascade,
    parent_id bigint,
    -- 1 at the top of a post.
    depth integer not null,
    author_id uuid not null,
    author_number bigint not null,
    content text not null,
    media_id uuid,
    -- Deleted by its author: an empty place that keeps its replies together.
    deleted_at timestamptz,
    removed_at timestamptz,
    hearts bigint not null default 0,
    likes bigint not null default 0,
    dislikes bigint not null default 0,
    -- Direct replies that are neither deleted nor removed.
    replies_count bigint not null default 0,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    popularity bigint not null generated always as (hearts + likes + dislikes + replies_count) stored,
    -- For the key below.
    constraint comments_on_post unique (id, post_id),
    constraint comments_parent_on_same_post foreign key (parent_id, post_id) references comments (id, post_id)
        on delete cascade,
    constraint comments_depth_fits check (depth >= 1 and (depth = 1) = (parent_id is null)),
    constraint comments_counts_are_counts check (hearts >= 0 and likes >= 0 and dislikes >= 0 and replies_count >= 0)
) with (fillfactor = 90);

-- Siblings in the order of a thread, at the top of a post and below a comment; the latter also serves the foreign key.
create index comments_top on comments (post_id, popularity desc, created_at desc, id desc) where parent_id is null;
create index comments_replies on comments (parent_id, popularity desc, created_at desc, id desc)
    where parent_id is not null;
-- Flat lists, newest first.
create index comments_new on comments (created_at desc, id desc) where deleted_at is null and removed_at is null;
create index comments_new_on_post on comments (post_id, created_at desc, id desc);
create index comments_new_below on comments (parent_id, created_at desc, id desc) where parent_id is not null;
create index comments_of_author on comments (author_id, created_at desc, id desc);
create index comments_media on comments (media_id) where media_id is not null;

-- One per person and thing. Exactly one of post and comment is set.
create table reactions (
    id bigint generated always as identity constraint reactions_pkey primary key,
    user_id uuid not null,
    user_number bigint not null,
    post_id bigint constraint reactions_post_id_fkey references posts on delete cascade,
    comment_id bigint constraint reactions_comment_id_fkey references comments on delete cascade,
    type text not null,
    created_at timestamptz not null,
    constraint reactions_to_one_thing check (num_nonnulls(post_id, comment_id) = 1),
    constraint reactions_type_is_known check (type in ('HEART', 'LIKE', 'DISLIKE'))
);

create unique index reactions_once_per_post on reactions (user_id, post_id) where post_id is not null;
create unique index reactions_once_per_comment on reactions (user_id, comment_id) where comment_id is not null;
-- Who reacted, newest first.
create index reactions_to_post on reactions (post_id, created_at desc, id desc) where post_id is not null;
create index reactions_to_comment on reactions (comment_id, created_at desc, id desc) where comment_id is not null;

-- What somebody's comments and reactions on an author's posts add up to, oneself included: `relevant` reads it instead
-- of their history. Changes with comment and reaction, and goes down when a post is deleted.
create table interactions (
    user_id uuid not null,
    author_id uuid not null,
    comments bigint not null default 0,
    reactions bigint not null default 0,
    boost bigint not null generated always as (3 * comments + 2 * reactions) stored,
    constraint interactions_pkey primary key (user_id, author_id),
    constraint interactions_counts_are_counts check (comments >= 0 and reactions >= 0)
);

create table notifications (
    id bigint generated always as identity constraint notifications_pkey primary key,
    recipient_id uuid not null,
    recipient_number bigint not null,
    actor_id uuid not null,
    actor_number bigint not null,
    type text not null,
    -- The post it is about, and the comment if it is about one.
    post_id bigint not null constraint notifications_post_id_fkey references posts on delete cascade,
    comment_id bigint constraint notifications_comment_id_fkey references comments on delete cascade,
    -- Of the two types about a reaction.
    reaction text,
    read_at timestamptz,
    created_at timestamptz not null,
    constraint notifications_type_is_known
        check (type in ('POST_REPLY', 'COMMENT_REPLY', 'POST_REACTION', 'COMMENT_REACTION')),
    constraint notifications_reaction_is_known check (reaction in ('HEART', 'LIKE', 'DISLIKE')),
    constraint notifications_not_to_oneself check (recipient_id <> actor_id)
);

-- The same person doing the same to the same thing makes no second one while the first is unread.
create unique index notifications_once_while_unread
    on notifications (recipient_id, actor_id, type, post_id, comment_id) nulls not distinct where read_at is null;
create index notifications_new on notifications (recipient_id, created_at desc, id desc);
create index notifications_unread on notifications (recipient_id, created_at desc, id desc) where read_at is null;
-- For the foreign keys.
create index notifications_about_post on notifications (post_id);
create index notifications_about_comment on notifications (comment_id) where comment_id is not null;

-- Who complained about a post, or about one of its comments.
create table reports (
    id bigint generated always as identity constraint reports_pkey primary key,
    reporter_id uuid not null,
    reporter_number bigint not null,
    post_id bigint not null constraint reports_post_id_fkey references posts on delete cascade,
    comment_id bigint constraint reports_comment_id_fkey references comments on delete cascade,
    reason text not null,
    created_at timestamptz not null,
    -- Set when moderators decided.
    settled_at timestamptz,
    constraint reports_once_per_person unique nulls not distinct (post_id, comment_id, reporter_id)
);

-- The newest undecided ones of a thing.
create index reports_open on reports (post_id, comment_id, created_at desc, id desc) where settled_at is null;
create index reports_about_comment on reports (comment_id) where comment_id is not null;

-- A row per thing that was ever reported, with its undecided reports counted: the moderators' queue.
create table reported (
    id bigint generated always as identity constraint reported_pkey primary key,
    -- The post's.
    community_id bigint constraint reported_community_id_fkey references communities on delete set null,
    post_id bigint not null constraint reported_post_id_fkey references posts on delete cascade,
    comment_id bigint constraint reported_comment_id_fkey references comments on delete cascade,
    open bigint not null,
    last_reported_at timestamptz not null,
    constraint reported_once unique nulls not distinct (post_id, comment_id),
    constraint reported_open_is_a_count check (open >= 0)
);

create index reported_most on reported (community_id, open desc, last_reported_at desc, id desc) where open > 0;
create index reported_community on reported (community_id);
create index reported_comment on reported (comment_id) where comment_id is not null;

-- What moderators did. Nothing is changed or deleted here, not even with what it is about; hence no foreign keys.
create table moderation_log (
    id bigint generated always as identity constraint moderation_log_pkey primary key,
    community_id bigint,
    moderator_id uuid not null,
    moderator_number bigint not null,
    action text not null,
    post_id bigint,
    comment_id bigint,
    user_id uuid,
    user_number bigint,
    reason text not null default '',
    created_at timestamptz not null,
    constraint moderation_log_about_one_thing check (num_nonnulls(post_id, comment_id, user_id) = 1),
    constraint moderation_log_user_is_whole check ((user_id is null) = (user_number is null)),
    constraint moderation_log_action_is_known check (
        action in ('REMOVE', 'RESTORE', 'LOCK', 'UNLOCK', 'PIN', 'UNPIN', 'BAN', 'UNBAN', 'DISMISS', 'ROLE')
    )
);

create index moderation_log_new on moderation_log (community_id, created_at desc, id desc);

-- The last word on a thing or person.
create index moderation_log_post on moderation_log (post_id, id desc) where post_id is not null;
create index moderation_log_comment on moderation_log (comment_id, id desc) where comment_id is not null;
create index moderation_log_user on moderation_log (community_id, user_id, id desc) where user_id is not null;

create function moderation_log_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'the moderation log is only appended to';
end $$;

create trigger moderation_log_is_append_only before update or delete or truncate on moderation_log
    for each statement execute function moderation_log_is_append_only();

-- Who counted as a viewer of what, and when. Rows older than the pause between two views are swept. A crash of the
-- server empties an unlogged table; then somebody counts twice.
create unlogged table views (
    -- Without a foreign key: viewers lock this row before the post, and deleting a post the other way round.
    post_id bigint not null,
    -- A person's id, or what the edge says of an anonymous visitor.
    viewer text not null,
    counted_at timestamptz not null,
    constraint views_pkey primary key (post_id, viewer)
);

create index views_counted_at on views (counted_at);

-- The last writes of each person by kind, so that counting and refusing is one statement. Swept when idle.
create unlogged table request_limits (
    user_id uuid not null,
    kind text not null,
    recent timestamptz[] not null,
    last_at timestamptz not null,
    constraint request_limits_pkey primary key (user_id, kind)
);

create index request_limits_last_at on request_limits (last_at);

-- Rankings that somebody pages through, see src/rankings.rs. Swept by age and number.
create unlogged table rankings (
    id uuid constraint rankings_pkey primary key,
    -- Whose, of one that was computed for somebody.
    viewer_id uuid,
    posts bigint[] not null,
    made_at timestamptz not null
);

create index rankings_made_at on rankings (made_at);
create index rankings_of_viewer on rankings (viewer_id, made_at desc) where viewer_id is not null;
-- Compressing numbers costs more than it saves.
alter table rankings alter posts set storage external;

-- Former pictures of communities that `media` has yet to be told to delete; see src/pictures.rs.
create table discarded_media (
    media_id uuid constraint discarded_media_pkey primary key,
    attempts integer not null default 0,
    due_at timestamptz not null
);

create index discarded_media_due on discarded_media (due_at);
