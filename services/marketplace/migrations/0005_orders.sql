create table orders (
    id bigint generated always as identity constraint orders_pkey primary key,
    -- No foreign key: an order outlives its ad, and keeps what it needs of it.
    ad_id bigint not null,
    ad_title text not null,
    buyer_id uuid not null,
    buyer_number bigint not null,
    seller_id uuid not null,
    seller_number bigint not null,
    -- Hundredths, as the ad had it in that moment.
    price bigint not null,
    state text not null,
    note text not null,
    -- The buyer's, to know a repeat by.
    request_id text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint orders_once_per_request unique (buyer_id, request_id),
    constraint orders_not_from_oneself check (buyer_id <> seller_id),
    constraint orders_state_is_known check (state in ('AWAITING_PAYMENT', 'PLACED', 'COMPLETED', 'CANCELLED'))
);

-- A thing is sold once. The ad's lock sees to that; this is for whoever forgets to take it.
create unique index orders_once_per_ad on orders (ad_id) where state <> 'CANCELLED';
-- What one buys and what one sells, newest first.
create index orders_of_buyer on orders (buyer_number, id desc);
create index orders_of_seller on orders (seller_number, id desc);
-- Who has not paid yet, longest first.
create index orders_unpaid on orders (created_at) where state = 'AWAITING_PAYMENT';

-- Every step an order took, and who took it.
create table order_transitions (
    id bigint generated always as identity constraint order_transitions_pkey primary key,
    order_id bigint not null constraint order_transitions_order_id_fkey references orders,
    -- Null for the first one.
    from_state text,
    to_state text not null,
    -- Null for the service itself, and for other services.
    by_id uuid,
    at timestamptz not null
);

create index order_transitions_of_order on order_transitions (order_id, id);
