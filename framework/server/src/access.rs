//! Who may read: everybody, or those that have the token.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use crate::answer::Refusal;
use crate::routes::State;

/// Paths that show nothing of the data: for load balancers, and the page that asks for the token.
const OPEN: &[&str] = &["/", "/health", "/ready"];

/// Lets a request pass if it may.
pub async fn check<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let may = OPEN.contains(&request.path()) || request.app_data::<web::Data<State>>().is_some_and(|state| has_token(state, &request));
    if may {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", "this needs the token of [server]");
    let mut response = HttpResponse::from(refusal.help("send the header `Authorization: Bearer TOKEN`"));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    Ok(request.into_response(response).map_into_right_body())
}

fn has_token(state: &State, request: &ServiceRequest) -> bool {
    let Some(token) = &state.info.token else { return true };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(7));
    given.is_some_and(|(scheme, given)| scheme.eq_ignore_ascii_case(b"bearer ") && token.is(given))
}
