//! An owner that does what a test asks for.

use crate::{Ask, Asked, Owner, Peers, ReplicaId};
use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use holdfast_upstream::BoxedBody;
use http::{Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, StreamBody};
use parking_lot::Mutex;
use std::{
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use tokio::sync::Semaphore;

pub(crate) const PIECE: usize = 8 * 1024;

pub(crate) struct Stub {
    peers: Mutex<Weak<Peers>>,
    pub(crate) asked: Mutex<Vec<Asked>>,
    pub(crate) told: Mutex<Vec<(ReplicaId, Bytes)>>,
    /// Answers under way, and the most there were at once.
    pub(crate) busy: Arc<AtomicUsize>,
    pub(crate) busiest: AtomicUsize,
    /// Pieces that bodies have given away.
    pub(crate) pieces: Arc<AtomicUsize>,
    /// `wait` answers when it gets one of these.
    pub(crate) go: Arc<Semaphore>,
}

/// Counts down when dropped, whether it was done or given up.
struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Stub {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            peers: Mutex::default(),
            asked: Mutex::default(),
            told: Mutex::default(),
            busy: Arc::default(),
            busiest: AtomicUsize::new(0),
            pieces: Arc::default(),
            go: Arc::new(Semaphore::new(0)),
        })
    }

    pub(crate) fn know(&self, peers: &Arc<Peers>) {
        *self.peers.lock() = Arc::downgrade(peers);
    }

    pub(crate) fn busy(&self) -> usize {
        self.busy.load(SeqCst)
    }

    pub(crate) fn pieces(&self) -> usize {
        self.pieces.load(SeqCst)
    }
}

impl Owner for Stub {
    fn answer(&self, asked: Asked) -> BoxFuture<'static, Response<BoxedBody>> {
        self.asked.lock().push(asked.clone());
        self.busiest.fetch_max(self.busy.fetch_add(1, SeqCst) + 1, SeqCst);
        let busy = Busy(Arc::clone(&self.busy));
        let (pieces, go, peers) = (Arc::clone(&self.pieces), Arc::clone(&self.go), self.peers.lock().clone());
        Box::pin(async move {
            match &*asked.what {
                "echo" => Response::new(full(asked.body)),
                "nothing" => answer(StatusCode::NO_CONTENT, Bytes::new()),
                "odd" => {
                    let mut response = answer(StatusCode::NOT_FOUND, Bytes::from_static(b"odd"));
                    response.headers_mut().insert("holdfast-refused", "handle".parse().unwrap());
                    response.headers_mut().insert("x-mine", "yes".parse().unwrap());
                    response
                }
                "wait" => {
                    go.acquire().await.unwrap().forget();
                    drop(busy);
                    Response::new(full(asked.body))
                }
                "hang" => {
                    let _busy = busy;
                    std::future::pending().await
                }
                "stream" => Response::new(Endless { pieces, busy }.boxed_unsync()),
                "tear" => {
                    let good = stream::iter((0..3).map(|_| Ok(Frame::data(Bytes::from_static(b"good")))));
                    let fail = stream::once(async move {
                        go.acquire().await.unwrap().forget();
                        Err("the source failed".into())
                    });
                    Response::new(StreamBody::new(good.chain(fail)).boxed_unsync())
                }
                "broken" => {
                    let broken = stream::iter([Err("the source failed".into())]);
                    Response::new(StreamBody::new(broken).boxed_unsync())
                }
                "again" => {
                    let other = Ask {
                        what: "echo",
                        handle: String::new(),
                        principal: asked.principal,
                        until: asked.until,
                        body: Bytes::new(),
                    };
                    let error = peers.upgrade().unwrap().ask(asked.from, other).await.unwrap_err();
                    Response::new(full(Bytes::from(error.to_string())))
                }
                what => panic!("{what}"),
            }
        })
    }

    fn told(&self, from: ReplicaId, note: Bytes) {
        self.told.lock().push((from, note));
    }
}

fn full(bytes: Bytes) -> BoxedBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn answer(status: StatusCode, bytes: Bytes) -> Response<BoxedBody> {
    let mut response = Response::new(full(bytes));
    *response.status_mut() = status;
    response
}

/// As many pieces as wanted.
struct Endless {
    pieces: Arc<AtomicUsize>,
    #[expect(dead_code, reason = "held until the body is dropped")]
    busy: Busy,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = holdfast_upstream::BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.pieces.fetch_add(1, SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![7; PIECE])))))
    }
}
