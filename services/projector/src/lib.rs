//! temporary
use deadpool_postgres::Pool;
use hatch_eventstore::{Feed, HeadWatch, Log, Subscription, Position};
use hatch_readmodel::Projection;
/// t
pub async fn run(pool: Pool, log: Log, head: HeadWatch, feed: Option<Feed>, shutdown: tokio_util::sync::CancellationToken) {
    let work = async {
        let mut at = { let c = pool.get().await.expect("x");
            c.execute("INSERT INTO es.checkpoints (name, version, position, epoch) VALUES ('messages', 1, 0, 0) ON CONFLICT DO NOTHING", &[]).await.expect("x");
            Position(c.query_one("SELECT position FROM es.checkpoints", &[]).await.expect("x").get(0)) };
        let mut s = Subscription::new(log, &head, feed.as_ref(), at, 500);
        loop {
            let b = s.next_batch().await.expect("x");
            let mut c = pool.get().await.expect("x");
            at = Projection::Messages.advance(&mut c, at, &b).await.expect("x");
        }
    };
    tokio::select! { () = work => {}, () = shutdown.cancelled() => {} }
}
