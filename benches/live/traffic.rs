//! Lines as a shop writes them, made at the rate at which they are sent.
//!
//! Visits of a user base that is there already, and orders: created with one to three items, then
//! paid. A probe is an order of one unit of the product `probe`, which is alone in its category: the
//! orders that the sales view counts in that category say which probes can be seen.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many users there are.
pub const USERS: u64 = 100_000;
/// How many products there are, beside the probe's.
pub const PRODUCTS: u64 = 2_000;
/// How many categories they are filed in.
const CATEGORIES: u64 = 20;
/// Of a hundred lines so many are of orders.
const ORDER_LINES: u64 = 8;

/// Makes lines, and knows what they come to.
pub struct Traffic {
    random: u64,
    lines: u64,
    orders: u64,
    probes: u64,
    /// An order that waits for its payment.
    unpaid: Option<u64>,
    /// Whether lines have ids, which Tillrace remembers.
    with_ids: bool,
    now_ms: u64,
    now: String,
    /// Lines of visits that are to be sent.
    pub behavior: Vec<u8>,
    /// Lines of orders that are to be sent.
    pub orders_text: Vec<u8>,
    /// What has been made so far.
    pub made: Made,
}

/// What lines come to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Made {
    /// Lines of both tables.
    pub lines: u64,
    /// Lines of visits.
    pub behavior: u64,
    /// Orders created, probes included.
    pub orders: u64,
    /// Units ordered, probes included.
    pub units: u64,
    /// Price times quantity of all orders, in cents.
    pub gmv_cents: u64,
}

impl Traffic {
    /// Traffic that is the same each time, but for its times.
    pub fn new(with_ids: bool) -> Traffic {
        Traffic {
            random: 0x9e37_79b9_7f4a_7c15,
            lines: 0,
            orders: 0,
            probes: 0,
            unpaid: None,
            with_ids,
            now_ms: 0,
            now: String::new(),
            behavior: Vec::new(),
            orders_text: Vec::new(),
            made: Made::default(),
        }
    }

    /// The catalogue, as lines of `products`.
    pub fn catalogue() -> Vec<u8> {
        let mut lines = Vec::new();
        for product in 0..PRODUCTS {
            let category = product % CATEGORIES;
            writeln!(lines, r#"{{"product_id":"p{product}","name":"product {product}","category":"category {category}","price":{}.50,"currency":"EUR"}}"#, 1 + product % 90).expect("memory takes any text");
        }
        writeln!(lines, r#"{{"product_id":"probe","name":"probe","category":"probe","price":1.00,"currency":"EUR"}}"#).expect("memory takes any text");
        lines
    }

    /// A visit of each user, so that all of them are there.
    pub fn all_users(&mut self) {
        self.look_at_clock();
        for user in 0..USERS {
            self.visit(user);
        }
    }

    /// Adds the next line.
    pub fn next(&mut self) {
        self.look_at_clock();
        let random = self.draw();
        match random % 100 < ORDER_LINES {
            true => self.order_line(),
            false => self.visit((random >> 32) % USERS),
        }
    }

    /// Adds a probe; its number, from one on.
    pub fn probe(&mut self) -> u64 {
        self.look_at_clock();
        self.probes += 1;
        let number = self.probes;
        self.begin_order(&format!("probe-{number}"), "u0");
        write!(
            self.orders_text,
            r#""items":[{{"product_id":"probe","quantity":1,"price":1.00}}]}}"#
        )
        .expect("memory takes any text");
        self.orders_text.push(b'\n');
        self.made.units += 1;
        self.made.gmv_cents += 100;
        number
    }

    fn visit(&mut self, user: u64) {
        self.lines += 1;
        self.made.lines += 1;
        self.made.behavior += 1;
        let random = self.draw();
        let product = (random >> 16) % PRODUCTS;
        let action = match random % 100 {
            0..85 => "page_view",
            85..96 => "add_to_cart",
            _ => "search",
        };
        let out = &mut self.behavior;
        out.push(b'{');
        if self.with_ids {
            write!(out, r#""event_id":"e{}","#, self.lines).expect("memory takes any text");
        }
        writeln!(out, r#""user_id":"u{user}","event":"{action}","timestamp":"{}","page_url":"/product/p{product}","channel":"web"}}"#, self.now).expect("memory takes any text");
    }

    fn order_line(&mut self) {
        if let Some(order) = self.unpaid.take() {
            self.lines += 1;
            self.made.lines += 1;
            self.orders_text.push(b'{');
            if self.with_ids {
                write!(self.orders_text, r#""event_id":"o{order}-2","#)
                    .expect("memory takes any text");
            }
            writeln!(
                self.orders_text,
                r#""order_id":"o{order}","status":"paid","timestamp":"{}"}}"#,
                self.now
            )
            .expect("memory takes any text");
            return;
        }
        self.orders += 1;
        let order = self.orders;
        self.unpaid = Some(order);
        let random = self.draw();
        self.begin_order(&format!("o{order}"), &format!("u{}", random % USERS));
        self.orders_text.extend_from_slice(br#""items":["#);
        for item in 0..1 + random % 3 {
            let random = self.draw();
            let (product, quantity, cents) = (
                random % PRODUCTS,
                1 + (random >> 20) % 3,
                100 + (random >> 30) % 9_900,
            );
            let comma = if item > 0 { "," } else { "" };
            write!(
                self.orders_text,
                r#"{comma}{{"product_id":"p{product}","quantity":{quantity},"price":{}.{:02}}}"#,
                cents / 100,
                cents % 100
            )
            .expect("memory takes any text");
            self.made.units += quantity;
            self.made.gmv_cents += quantity * cents;
        }
        self.orders_text.extend_from_slice(b"]}\n");
    }

    fn begin_order(&mut self, order: &str, user: &str) {
        self.lines += 1;
        self.made.lines += 1;
        self.made.orders += 1;
        self.orders_text.push(b'{');
        if self.with_ids {
            write!(self.orders_text, r#""event_id":"{order}-1","#).expect("memory takes any text");
        }
        write!(self.orders_text, r#""order_id":"{order}","user_id":"{user}","status":"created","timestamp":"{}","currency":"EUR","channel":"web","#, self.now).expect("memory takes any text");
    }

    /// The next of xorshift64*.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn look_at_clock(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_millis() as u64);
        if now != self.now_ms {
            self.now_ms = now;
            let time = chrono::DateTime::from_timestamp_millis(now as i64).unwrap_or_default();
            self.now = time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        }
    }
}
