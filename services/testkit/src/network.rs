//! Services that find each other in memory, by name.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};

use http::Request;
use kit::identity::Peer as PeerName;
use kit::net::{Conn, Dial, memory};
use tokio::sync::mpsc::Sender;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::tokio_stream::Stream;
use tonic::server::NamedService;
use tonic::transport::Server;

/// A mesh in memory. Dialling a service that does not listen yet waits for it.
#[derive(Clone, Default)]
pub struct Network(Arc<Mutex<HashMap<String, Slot>>>);

struct Slot {
    dial: Sender<io::Result<Conn>>,
    incoming: Option<Incoming>,
}

type Incoming = std::pin::Pin<Box<dyn Stream<Item = io::Result<Conn>> + Send>>;

impl Network {
    /// How `from` reaches others.
    pub fn dialler(&self, from: &str) -> Arc<dyn Fn(&str) -> Dial + Send + Sync> {
        let (network, from) = (self.clone(), PeerName(from.into()));
        Arc::new(move |to| Dial::Memory {
            server: network.slot(to, |slot| slot.dial.clone()),
            peer: Some(from.clone()),
        })
    }

    /// How somebody without a certificate reaches `to`.
    pub fn stranger(&self, to: &str) -> Dial {
        Dial::Memory { server: self.slot(to, |slot| slot.dial.clone()), peer: None }
    }

    /// The connections that arrive at `name`. Listening again takes the place of the former listener.
    pub fn listen(&self, name: &str) -> Incoming {
        self.slot(name, |slot| {
            slot.incoming.take().unwrap_or_else(|| {
                let (dial, incoming) = memory();
                slot.dial = dial;
                Box::pin(incoming)
            })
        })
    }

    /// Serves a stand-in for the service `name`, without access rules.
    pub fn stub<S>(&self, name: &str, server: S)
    where
        S: Service<Request<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        tokio::spawn(Server::builder().add_service(server).serve_with_incoming(self.listen(name)));
    }

    fn slot<T>(&self, name: &str, read: impl FnOnce(&mut Slot) -> T) -> T {
        let mut slots = self.0.lock().expect("nothing panics under this lock");
        let slot = slots.entry(name.to_owned()).or_insert_with(|| {
            let (dial, incoming) = memory();
            Slot { dial, incoming: Some(Box::pin(incoming)) }
        });
        read(slot)
    }
}
