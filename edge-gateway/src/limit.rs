//! Rate limits: fixed windows counted in Redis, so that all replicas of the edge count together. An edge takes a few
//! calls of a window at once and spends them from memory, so most requests cost no round trip; while Redis is away
//! each replica counts for itself.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use kit::net::network;
use moka::sync::Cache;
use redis::Script;
use redis::aio::ConnectionManager;

use crate::address::Client;
use crate::auth::Identity;
use crate::dialect::{Dialect, Problem};
use crate::routes::{Describe, Operation};

/// What a call counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    General,
    Strict,
    Relaxed,
    /// One's own account: asked on every page load, and a refusal logs the user out.
    Own,
    /// Logins that failed or are going on, per address and per account.
    Auth,
    /// Login attempts of Agrovet, per address.
    Login,
    Search,
    Upload,
    /// Whatever sends a mail or an SMS.
    Email,
    Webhook,
    /// Lists of ads by words: pages ask for them with each letter that is typed.
    Ads,
}

/// Calls per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub calls: u32,
    pub seconds: u64,
}

impl Class {
    const ALL: [(Class, &'static str, Rate); 11] = [
        (Class::General, "general", Rate { calls: 100, seconds: 60 }),
        (Class::Strict, "strict", Rate { calls: 20, seconds: 60 }),
        (Class::Relaxed, "relaxed", Rate { calls: 200, seconds: 60 }),
        (Class::Own, "own", Rate { calls: 300, seconds: 60 }),
        (Class::Auth, "auth", Rate { calls: 10, seconds: 300 }),
        (Class::Login, "login", Rate { calls: 10, seconds: 60 }),
        (Class::Search, "search", Rate { calls: 30, seconds: 60 }),
        (Class::Upload, "upload", Rate { calls: 30, seconds: 60 }),
        (Class::Email, "email", Rate { calls: 3, seconds: 3600 }),
        (Class::Webhook, "webhook", Rate { calls: 1000, seconds: 60 }),
        (Class::Ads, "ads", Rate { calls: 300, seconds: 60 }),
    ];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// A class with another rate than its usual one: `search=60/60`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting(pub Class, pub Rate);

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (name, rate) = text.split_once('=')?;
            let (calls, seconds) = rate.split_once('/')?;
            let (class, ..) = Class::ALL.into_iter().find(|(_, known, _)| *known == name)?;
            let rate = Rate { calls: calls.parse().ok()?, seconds: seconds.parse().ok()? };
            (rate.calls > 0 && rate.seconds > 0).then_some(Self(class, rate))
        };
        read().ok_or_else(|| {
            let names: Vec<_> = Class::ALL.iter().map(|(_, name, _)| *name).collect();
            format!("is written class=calls/seconds; classes are {}", names.join(", "))
        })
    }
}

/// What became of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    pub rate: Rate,
    /// Calls left in this window.
    pub remaining: u32,
    /// When the next window begins, Unix seconds.
    pub reset: u64,
    /// Seconds until then, at least one.
    pub retry_after: u64,
}

impl Verdict {
    /// `X-RateLimit-*`.
    pub fn write(&self, headers: &mut HeaderMap) {
        write(headers, self.rate.calls, self.remaining, self.reset);
    }

    pub fn problem(&self) -> Problem {
        Problem::Limited {
            limit: self.rate.calls,
            period: Duration::from_secs(self.rate.seconds),
            retry_after: self.retry_after,
            reset: self.reset,
        }
    }
}

/// `X-RateLimit-*`, unless they are there: an endpoint that refuses by a limit of its own means that one.
pub fn write(headers: &mut HeaderMap, limit: u32, remaining: u32, reset: u64) {
    for (name, value) in [
        (HeaderName::from_static("x-ratelimit-limit"), u64::from(limit)),
        (HeaderName::from_static("x-ratelimit-remaining"), u64::from(remaining)),
        (HeaderName::from_static("x-ratelimit-reset"), reset),
    ] {
        headers.entry(name).or_insert(HeaderValue::from(value));
    }
}

/// The calls of one window that this edge has taken from the common count and not spent yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lease {
    window: u64,
    /// The common count when we last asked.
    counted: u64,
    left: u32,
    /// The common count is full; nothing to ask before the next window.
    full: bool,
}

impl Lease {
    /// Forgets another window's calls.
    fn enter(&mut self, window: u64) {
        if self.window != window {
            *self = Self { window, ..Self::default() };
        }
    }

    /// Takes in `taken` calls after which the common count is `counted`; those beyond the limit do not count.
    fn grant(&mut self, rate: Rate, taken: u32, counted: u64) {
        let before = counted.saturating_sub(u64::from(taken));
        let granted = u64::from(rate.calls).saturating_sub(before).min(u64::from(taken));
        self.left += granted as u32;
        self.counted = self.counted.max(counted);
        self.full = granted < u64::from(taken);
    }

    /// Spends one call, if there is one.
    fn spend(&mut self) -> bool {
        self.left = match self.left.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        true
    }

    fn verdict(&self, rate: Rate, now: u64, allowed: bool) -> Verdict {
        let reset = (now / rate.seconds + 1) * rate.seconds;
        let spent = self.counted.min(u64::from(rate.calls)).saturating_sub(u64::from(self.left));
        let remaining = if allowed { u64::from(rate.calls).saturating_sub(spent) as u32 } else { 0 };
        Verdict { allowed, rate, remaining, reset, retry_after: (reset - now).max(1) }
    }
}

/// How many calls to take at once: few enough that replicas share fairly, and one by one where every call matters.
fn portion(rate: Rate) -> u32 {
    (rate.calls / 20).max(1)
}

/// Adds to a count that ends some seconds after its beginning, and says what it is then.
pub(crate) static COUNT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local n = redis.call('INCRBY', KEYS[1], ARGV[1])
         if n == tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
         return n",
    )
});

/// Counts calls.
pub struct Limiter {
    on: bool,
    rates: [Rate; 11],
    redis: Option<ConnectionManager>,
    clock: kit::Clock,
    leases: Cache<(Class, Arc<str>), Arc<Mutex<Lease>>>,
}

impl Limiter {
    pub fn new(on: bool, settings: &[Setting], redis: Option<ConnectionManager>, clock: kit::Clock) -> Self {
        let mut rates = Class::ALL.map(|(_, _, rate)| rate);
        for Setting(class, rate) in settings {
            rates[*class as usize] = *rate;
        }
        // A flood of addresses must not eat the memory; who falls out is asked of Redis again.
        let leases = Cache::builder().max_capacity(100_000).time_to_idle(Duration::from_secs(3600)).build();
        Self { on, rates, redis, clock, leases }
    }

    pub fn on(&self) -> bool {
        self.on
    }

    /// Counts one call of `who` and says whether it may go on.
    pub async fn hit(&self, class: Class, who: &str) -> Verdict {
        let (rate, now) = (self.rates[class as usize], self.now());
        let window = now / rate.seconds;
        let lease = self.lease(class, who);
        {
            let mut lease = lease.lock().expect("nothing panics under this lock");
            lease.enter(window);
            if !self.on || lease.spend() {
                return lease.verdict(rate, now, true);
            }
            if lease.full {
                return lease.verdict(rate, now, false);
            }
        }
        let taken = portion(rate);
        let counted = self.count(class, who, window, taken.into()).await;
        let mut lease = lease.lock().expect("nothing panics under this lock");
        lease.enter(window);
        // Without Redis we are alone, and the count is our own.
        let counted = counted.unwrap_or(lease.counted + u64::from(taken));
        lease.grant(rate, taken, counted);
        let allowed = lease.spend();
        lease.verdict(rate, now, allowed)
    }

    fn now(&self) -> u64 {
        self.clock.now().timestamp().unsigned_abs()
    }

    fn lease(&self, class: Class, who: &str) -> Arc<Mutex<Lease>> {
        self.leases.get_with((class, who.into()), Arc::default)
    }

    /// Adds to the common count of a window; what it is then, if Redis answers.
    async fn count(&self, class: Class, who: &str, window: u64, by: i64) -> Option<u64> {
        let mut redis = self.redis.clone()?;
        let key = format!("plaza:limit:{}:{who}:{window}", class.name());
        let seconds = self.rates[class as usize].seconds;
        let counted = COUNT.key(key).arg(by).arg(seconds).invoke_async::<i64>(&mut redis).await;
        counted
            .inspect_err(|error| {
                metrics::counter!("rate_limit_redis_errors_total").increment(1);
                tracing::debug!(%error, "rate limits are counted here alone");
            })
            .ok()
            .map(|counted| u64::try_from(counted).unwrap_or_default())
    }

    /// For logins: counts a try of each of `whose`, and refuses it when one of them has had enough. A try that does not
    /// fail is forgiven. Were failures counted when they have happened, any number that come at once would get through.
    pub async fn watch(&self, class: Class, whose: Vec<String>) -> Result<Watch<'_>, Problem> {
        let window = self.now() / self.rates[class as usize].seconds;
        let mut watch = Watch { limiter: self, class, window, counted: Vec::new() };
        if !self.on {
            return Ok(watch);
        }
        for who in whose {
            let verdict = watch.count(&who, 1).await;
            watch.counted.push(who);
            if !verdict.allowed {
                watch.forgive().await;
                return Err(verdict.problem());
            }
        }
        Ok(watch)
    }
}

/// A try whose outcome is waited for. It counts as failed, also if nobody waits to the end.
#[must_use = "what did not fail is forgiven"]
pub struct Watch<'l> {
    limiter: &'l Limiter,
    class: Class,
    window: u64,
    counted: Vec<String>,
}

impl Watch<'_> {
    /// Takes the try back.
    pub async fn forgive(self) {
        for who in &self.counted {
            self.count(who, -1).await;
        }
    }

    /// Adds to somebody's tries, which are counted in common, or without Redis by us alone.
    async fn count(&self, who: &str, by: i64) -> Verdict {
        let Self { limiter, class, window, .. } = *self;
        let rate = limiter.rates[class as usize];
        let counted = limiter.count(class, who, window, by).await;
        let lease = limiter.lease(class, who);
        let mut lease = lease.lock().expect("nothing panics under this lock");
        // What is taken back after the end of its window is no part of the next one.
        if by > 0 || lease.window == window {
            lease.enter(window);
            lease.counted = counted.unwrap_or(lease.counted.saturating_add_signed(by));
        }
        lease.verdict(rate, limiter.now(), lease.counted <= u64::from(rate.calls))
    }
}

/// Whom a call is counted for: the user, or the network when nobody is signed in.
pub fn payer(identity: Option<&Identity>, client: Client) -> String {
    match identity.and_then(Identity::caller) {
        Some(caller) => format!("user:{}", caller.id),
        None => format!("ip:{}", network(client.ip)),
    }
}

/// Who asks, for a handler that sees only by what is asked whether the call counts.
pub struct Payer(String);

impl Payer {
    /// Counts the call, and refuses it when there were too many.
    pub async fn pay(&self, limiter: &Limiter, class: Class) -> Result<(), Problem> {
        let verdict = limiter.hit(class, &self.0).await;
        if verdict.allowed { Ok(()) } else { Err(verdict.problem()) }
    }
}

impl<D: Dialect> FromRequestParts<D> for Payer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &D) -> Result<Self, Infallible> {
        let client = parts.extensions.get().copied().unwrap_or(Client::UNKNOWN);
        Ok(Self(payer(parts.extensions.get(), client)))
    }
}

impl Describe for Payer {
    fn describe(operation: &mut Operation) {
        operation.answer(429, "Too many calls");
    }
}

/// The layer around a handler whose calls are counted.
pub async fn guard<D: Dialect>(dialect: D, class: Class, request: Request, next: Next) -> Response {
    let client = request.extensions().get().copied().unwrap_or(Client::UNKNOWN);
    let who = payer(request.extensions().get(), client);
    let verdict = dialect.limiter.hit(class, &who).await;
    let mut response = match verdict.allowed {
        true => next.run(request).await,
        false => D::Error::from(verdict.problem()).into_response(),
    };
    verdict.write(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn classes_stand_in_their_own_order_and_settings_are_read() {
        for (at, (class, ..)) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, at);
        }
        assert_eq!("auth=5/300".parse(), Ok(Setting(Class::Auth, Rate { calls: 5, seconds: 300 })));
        for wrong in ["auth", "auth=5", "auth=0/1", "auth=1/0", "king=1/1", "auth=-1/1"] {
            assert!(wrong.parse::<Setting>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn alone_it_counts_exactly_and_starts_again_with_the_window() {
        let clock = kit::Clock::fixed(chrono::DateTime::from_timestamp(600_000, 0).unwrap());
        let limiter =
            Limiter::new(true, &[Setting(Class::General, Rate { calls: 45, seconds: 60 })], None, clock.clone());
        let mut seen = Vec::new();
        for _ in 0..50 {
            let verdict = limiter.hit(Class::General, "ip:1").await;
            seen.push((verdict.allowed, verdict.remaining));
        }
        assert_eq!(seen[0], (true, 44));
        assert_eq!(seen[44], (true, 0));
        assert!(seen[45..].iter().all(|v| *v == (false, 0)));
        assert!(limiter.hit(Class::General, "ip:2").await.allowed);
        clock.advance(Duration::from_secs(60));
        assert_eq!(limiter.hit(Class::General, "ip:1").await.remaining, 44);
    }

    #[tokio::test]
    async fn only_failures_are_counted_by_a_watch() {
        let limiter = of_logins(2);
        let watch =
            async |whose: &[&str]| limiter.watch(Class::Auth, whose.iter().map(|&who| who.to_owned()).collect()).await;
        for _ in 0..5 {
            watch(&["ip:1"]).await.unwrap().forgive().await;
        }
        for _ in 0..2 {
            drop(watch(&["ip:1", "email:a"]).await.unwrap());
        }
        assert!(matches!(watch(&["email:a"]).await, Err(Problem::Limited { limit: 2, .. })));
        // What is refused for one reason counts for none.
        for _ in 0..5 {
            assert!(watch(&["ip:2", "email:a"]).await.is_err());
        }
        assert!(watch(&["ip:2"]).await.is_ok());
    }

    #[tokio::test]
    async fn of_tries_that_come_at_once_no_more_than_the_limit_get_through() {
        let limiter = of_logins(10);
        let tries = (0..50).map(|_| limiter.watch(Class::Auth, vec!["ip:1".into()]));
        let through: Vec<_> = join_all(tries).await.into_iter().flatten().collect();
        assert_eq!(through.len(), 10);
        // One of them was right after all.
        through.into_iter().next().unwrap().forgive().await;
        assert!(limiter.watch(Class::Auth, vec!["ip:1".into()]).await.is_ok());
        assert!(limiter.watch(Class::Auth, vec!["ip:1".into()]).await.is_err());
    }

    fn of_logins(calls: u32) -> Limiter {
        let clock = kit::Clock::fixed(chrono::DateTime::from_timestamp(600_000, 0).unwrap());
        Limiter::new(true, &[Setting(Class::Auth, Rate { calls, seconds: 300 })], None, clock)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// However replicas interleave, together they let through at most the limit; one alone exactly the limit.
        #[test]
        fn replicas_never_exceed_the_limit(calls in 1u32..200, order in prop::collection::vec(0usize..3, 1..400)) {
            let rate = Rate { calls, seconds: 60 };
            let (mut common, mut leases, mut allowed) = (0u64, [Lease::default(); 3], 0u32);
            for replica in &order {
                let lease = &mut leases[*replica];
                if lease.left == 0 && !lease.full {
                    common += u64::from(portion(rate));
                    lease.grant(rate, portion(rate), common);
                }
                let verdict_before = lease.verdict(rate, 30, true);
                prop_assert!(verdict_before.remaining <= calls);
                if lease.spend() {
                    allowed += 1;
                }
            }
            prop_assert!(allowed <= calls);
            if order.iter().all(|r| *r == order[0]) {
                prop_assert_eq!(allowed, calls.min(order.len() as u32));
            }
        }

        #[test]
        fn windows_end_in_the_future_and_within_a_period(now in 0u64..4_000_000_000, seconds in 1u64..10_000) {
            let verdict = Lease::default().verdict(Rate { calls: 1, seconds }, now, true);
            prop_assert!(verdict.reset > now && verdict.reset - now <= seconds);
            prop_assert_eq!(verdict.reset % seconds, 0);
            prop_assert!(verdict.retry_after >= 1);
        }
    }
}
