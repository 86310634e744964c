//! The routes of axum.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use spandrel_core::hosted::testing::Capture;
use tower_service::Service as _;

use crate::calls::finish;
use crate::rig::{now, server};

#[test]
fn routes_of_axum_are_recorded_whole_and_paths_before_they_are_cut() {
    let capture = Capture::new();
    let inner = Router::new()
        .route("/stock/{item}", get(|| async { "three" }))
        .layer(server(&capture));
    let mut app: Router = Router::new().nest("/api", inner);
    let mut outside: Router = Router::new()
        .route("/known", get(|| async { "here" }))
        .layer(server(&capture));
    let ask = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    finish(now(app.call(ask("/api/stock/7"))));
    finish(now(outside.call(ask("/unknown"))));
    let spans = capture.spans();
    assert_eq!(spans[0].name, "GET /api/stock/{item}");
    spans[0]
        .assert_attribute("http.route", "/api/stock/{item}")
        .assert_attribute("url.path", "/api/stock/7")
        .assert_attribute("http.response.status_code", 200);
    assert_eq!(spans[1].name, "GET");
    spans[1].assert_attribute("http.response.status_code", 404);
    assert_eq!(spans[1].attribute("http.route"), None);
    assert_eq!(spans.len(), 2);
}
