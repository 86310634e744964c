//! Two services of axum that call each other, with logs that carry ids, stopped by SIGTERM.
//!
//! ```text
//! cargo run --example web
//! ```
//!
//! Two lines make a service traced: `init`, and the layer around its routes. Another one wraps the client
//! that calls the other service, one puts `trace_id` and `span_id` into the lines of the log, and
//! `until_signal` has the server end well.
//!
//! The program starts both services, orders something, and sends SIGTERM to itself while an order is still
//! under way: the order is answered, and every span arrives. Look at how the spans of `shop` and of `stock`
//! are one trace, and find its id in the log.
// ci: needs kill

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use http::{Request, StatusCode};
use spandrel_examples::demo::{check_delivery, drawn, own_collector, whereabouts};
use spandrel_examples::output::{LogWriter, show_warnings};
use spandrel_examples::{Collector, Failure, print, println};
use spandrel_tower::{ClientLayer, ClientService, Reqwest, ServerLayer, UrlTemplate};
use spandrel_transport_async::log_ids::LogIds;
use spandrel_transport_async::{Config, ContextFutureExt, InitError, Telemetry, Tracer, init};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tower_layer::Layer as _;
use tower_service::Service as _;
use tracing::{error, info, warn};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

const PATIENCE: Duration = Duration::from_secs(5);

/// A client whose requests have spans.
type Client = ClientService<Reqwest>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    show_warnings();
    let collector = own_collector()?;
    let endpoint = collector.as_ref().map_or("", Collector::endpoint);
    tracing_subscriber::registry()
        .with(tracing_subscriber::filter::LevelFilter::INFO)
        .with(
            fmt::layer()
                .without_time()
                .with_ansi(false)
                .with_writer(|| LogWriter)
                .map_event_format(LogIds::new),
        ) // the ids in each line
        .try_init()?;

    // reqwest leaves the choice of cryptography to the program, even if it calls nothing by https.
    let _ = rustls::crypto::ring::default_provider().install_default();

    // Each service is a process in earnest, and has one pipeline; here are two in one.
    let (shop, stock) = (pipeline("shop", endpoint)?, pipeline("stock", endpoint)?);

    // `stock` goes on until `shop` needs it no more.
    let terminated = shop.until_signal();
    let (shop_has_ended, no_more_orders) = tokio::sync::oneshot::channel::<()>();
    let (listener, stock_address) = listen().await?;
    let routes = stock_routes(&stock.tracer("http"));
    let serving_stock = axum::serve(listener, routes).with_graceful_shutdown(async {
        let _ = no_more_orders.await;
    });
    let (listener, shop_address) = listen().await?;
    let routes = shop_routes(&shop.tracer("http"), stock_address);
    let serving_shop = axum::serve(listener, routes).with_graceful_shutdown(async move {
        terminated.await;
        info!("SIGTERM: no new orders");
    });
    let serving_stock = tokio::spawn(serving_stock.into_future());
    let serving_shop = tokio::spawn(async move {
        let served = serving_shop.await;
        drop(shop_has_ended);
        served
    });

    let customer = shop.tracer("customer");
    let client = client(&customer);
    let visit = customer.start("customer.visit");
    let trace_id = visit.context().trace_id();
    order_and_terminate(&client, shop_address)
        .in_span(&visit)
        .await?;
    visit.end();
    serving_shop.await??;
    serving_stock.await??;

    for telemetry in [&shop, &stock] {
        check_delivery(&telemetry.shutdown(PATIENCE).await)?;
    }
    match &collector {
        Some(collector) => print!("\n{}", drawn(&collector.spans())),
        None => print!("{}", whereabouts(&[trace_id])),
    }
    println!("\nshop: {}\nstock: {}", shop.ledger(), stock.ledger());
    Ok(())
}

fn pipeline(name: &str, endpoint: &str) -> Result<Telemetry, InitError> {
    init(Config {
        enabled: true,
        service_name: name.into(),
        endpoint: endpoint.into(),
        set_global: name == "shop",
        ..Config::default()
    })
}

async fn listen() -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn client(tracer: &Tracer) -> Client {
    ClientLayer::new(tracer).layer(Reqwest(reqwest::Client::new()))
}

/// What a customer does: two orders, and one more that is under way when the program is told to stop.
async fn order_and_terminate(client: &Client, shop: SocketAddr) -> Result<(), Failure> {
    for item in ["soup", "ice"] {
        let (status, text) = fetch(client.clone(), shop, "/orders/{item}", item).await?;
        println!("{item}: {status} {text}");
    }
    let last =
        tokio::spawn(fetch(client.clone(), shop, "/orders/{item}", "bread").with_current_context());
    sleep(Duration::from_millis(10)).await;
    let process = std::process::id().to_string();
    Command::new("kill").args(["-TERM", &process]).status()?;
    let (status, text) = last.await??;
    println!("bread: {status} {text}");
    Ok(())
}

async fn fetch(
    mut client: Client,
    host: SocketAddr,
    template: &'static str,
    item: &str,
) -> Result<(StatusCode, String), Failure> {
    let path = template.replace("{item}", item);
    let request = Request::get(format!("http://{host}{path}")).extension(UrlTemplate(template));
    let answer = client.call(request.body(reqwest::Body::default())?).await?;
    let status = answer.status();
    let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 1024).await?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// The service that customers call.
fn shop_routes(tracer: &Tracer, stock: SocketAddr) -> Router {
    Router::new()
        .route("/orders/{item}", get(order))
        .with_state((client(tracer), stock))
        .layer(ServerLayer::new(tracer)) // a span for each request
}

async fn order(
    State((client, stock)): State<(Client, SocketAddr)>,
    Path(item): Path<String>,
) -> (StatusCode, String) {
    info!(item, "an order");
    match fetch(client, stock, "/stock/{item}", &item).await {
        Ok((StatusCode::OK, count)) => (StatusCode::OK, format!("one of {count}")),
        Ok((status, _)) => {
            warn!(item, %status, "nothing in stock");
            (StatusCode::NOT_FOUND, "sold out".into())
        }
        Err(failure) => {
            error!(?failure, "the stock does not answer");
            (StatusCode::BAD_GATEWAY, "ask again".into())
        }
    }
}

/// The service that the shop calls.
fn stock_routes(tracer: &Tracer) -> Router {
    Router::new()
        .route("/stock/{item}", get(count))
        .layer(ServerLayer::new(tracer)) // a span for each request
}

async fn count(Path(item): Path<String>) -> (StatusCode, String) {
    sleep(Duration::from_millis(30)).await;
    match item.as_str() {
        "ice" => (StatusCode::NOT_FOUND, String::new()),
        item => {
            info!(item, "counted");
            (StatusCode::OK, "three".into())
        }
    }
}
