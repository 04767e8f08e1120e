//! Messages that reached another replica.

use super::post::{Answer, HANDLE_KIND, WHAT};
use crate::Fronts;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use holdfast_peers::{Asked, BoxedBody, Owner, ReplicaId};
use http::Response;
use http_body_util::{BodyExt as _, Full};
use std::sync::Arc;

/// Answers what other replicas ask of the conversations here; what they ask of anything else, `others` answers.
pub struct Owners {
    fronts: Arc<Fronts>,
    others: Arc<dyn Owner>,
}

impl Owners {
    /// Both.
    pub fn new(fronts: &Arc<Fronts>, others: Arc<dyn Owner>) -> Arc<Self> {
        Arc::new(Self { fronts: Arc::clone(fronts), others })
    }
}

impl Owner for Owners {
    fn answer(&self, asked: Asked) -> BoxFuture<'static, Response<BoxedBody>> {
        if &*asked.handle.kind != HANDLE_KIND || &*asked.what != WHAT {
            return self.others.answer(asked);
        }
        let fronts = Arc::clone(&self.fronts);
        async move {
            let id = asked.body.clone();
            let said = fronts.deliver(&asked.handle.id, &asked.principal, asked.body, asked.until).await;
            Answer::from(said).response(&id).map(boxed)
        }
        .boxed()
    }

    fn told(&self, from: ReplicaId, note: Bytes) {
        self.others.told(from, note);
    }
}

fn boxed(body: Bytes) -> BoxedBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}
