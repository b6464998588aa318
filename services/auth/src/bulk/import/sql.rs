//! What an import does, in the order in which it does it. Conditions on `outcome` read: null is still to be decided.

/// Where everything waits. Of a phone that is none nothing is kept.
pub(super) const STAGE: &str = "
create temporary table import_accounts (
    place bigint, number bigint, phone text, password_hash text, usable boolean, roles text[], role_unknown boolean,
    state text, created_at timestamptz, last_login_at timestamptz
) on commit drop;
";

/// Of two rows of one number the later counts.
pub(super) const GATHER: &str = "
with gone as (
    delete from import_accounts a using import_accounts b where a.number = b.number and a.place < b.place
    returning a.place
)
insert into import_counts select 'accounts', 'twice in the dump', count(distinct place) from gone;
analyze import_accounts;
";

/// A phone is known by its digits, and belongs to who has it here, or else to the lowest number.
pub(super) const ACCOUNTS: &str = "
lock table accounts in share row exclusive mode;

create temporary table import_newcomers on commit drop as
    select a.*, translate(a.phone, '+', '') as digits,
        case when h.state = 'DELETED' then 'deleted here'
            when h.id is not null then 'there'
            when a.phone is null then 'without a valid phone'
        end as outcome
    from import_accounts a left join accounts h on h.number = a.number;

with taken as (
    update import_newcomers n set outcome = 'conflict'
    from accounts h where n.outcome is null and h.phone_digits = n.digits
    returning n.number, h.number as here
)
insert into import_conflicts (what)
select format('account %s of the dump has the phone of user %s here', number, here) from taken order by number limit 1000;

with twins as (
    update import_newcomers n set outcome = 'conflict'
    from (
        select number, first_value(number) over (partition by digits order by outcome is null, number) as first
        from import_newcomers where digits is not null and (outcome is null or outcome = 'there')
    ) o
    where n.outcome is null and o.number = n.number and o.first <> n.number
    returning n.number, o.first
)
insert into import_conflicts (what)
select format('account %s of the dump has the phone of account %s', number, first) from twins order by number limit 1000;

update import_newcomers set outcome = 'imported' where outcome is null;

insert into accounts (id, number, phone, password_hash, password_set_at, roles, state, created_at, last_login_at)
select pg_temp.import_id('03', number), number, phone, password_hash, created_at, roles, state, created_at, last_login_at
from import_newcomers where outcome = 'imported' order by number;

insert into import_counts select 'accounts', outcome, count(*) from import_newcomers group by outcome;
insert into import_notes
    select 'accounts have no usable password and must reset it', count(*)
    from import_newcomers where outcome = 'imported' and not usable
    union all
    select 'accounts have a role that is none here, and none now', count(*)
    from import_newcomers where outcome = 'imported' and role_unknown
    union all
    select 'accounts are administrators, with the passwords they had', count(*)
    from import_newcomers where outcome = 'imported' and 'ADMIN' = any(roles);
create unique index on import_newcomers (number);
analyze import_newcomers;
";

/// Nobody is given a number that a dump has, not even of an account that was left out. `setval` outlives a rollback, which
/// only leaves numbers out. The planner hears of what is new.
pub(super) const SEQUENCES: &str = "
select setval(pg_get_serial_sequence('accounts', 'number'), greatest(n.greatest, s.last_value))
from (select greatest((select max(number) from accounts), (select max(number) from import_accounts)) as greatest) n,
    accounts_number_seq s where n.greatest is not null;
analyze accounts;
";
