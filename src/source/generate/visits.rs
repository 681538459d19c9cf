//! Visits: looking at products, filling a cart, and buying what is in it.

use super::line::Line;
use super::orders::Item;
use super::schedule::Task;
use super::shop::{Currency, Shop};
use super::{GenerateError, Table};

/// Visitors out of ten thousand who are bots.
const BOTS: u32 = 10;
/// Visitors out of ten thousand who have not signed in.
const ANONYMOUS: u32 = 1500;
/// Views out of ten thousand after which the product goes into the cart.
const INTO_CART: u32 = 1200;
/// Visits with something in the cart, out of ten thousand, that end in an order.
const ORDERING: u32 = 4500;
/// Merges of an anonymous visitor out of ten thousand that are taken back.
const TAKEN_BACK: u32 = 300;
/// Actions out of ten thousand that arrive late.
const LATE: u32 = 100;
/// Actions out of ten thousand that are sent again with another payload under the same id.
const CONTRADICTED: u32 = 10;

/// The products with an accessory, and how far it is from its product; `accessories.csv` of the
/// samples says the same.
const WITH_ACCESSORIES: u32 = 12;
const ACCESSORY_APART: u32 = 20;
/// Views out of ten thousand of a product with an accessory beside which it is shown.
const SHOWN: u32 = 4000;
/// Accessories shown out of ten thousand that are clicked, and go into the cart.
const CLICKED: u32 = 1000;

/// How many different products fit an order.
pub(super) const MOST_ITEMS: usize = 3;

/// A visit between two clicks.
#[derive(Debug)]
pub(super) struct Visit {
    visitor: Visitor,
    /// Who it is, also if not signed in.
    user: u32,
    by_app: bool,
    /// The live session that it is part of, by number; zero for none.
    live: u64,
    /// The product looked at last.
    product: u32,
    next: Next,
    views_left: u16,
    cart: [(u32, u8); MOST_ITEMS],
    in_cart: u8,
}

/// As whom a visitor is known.
#[derive(Debug, Clone, Copy)]
enum Visitor {
    User,
    Anonymous(u64),
    Bot(u64),
}

/// What a visitor does next.
#[derive(Debug, Clone, Copy)]
enum Next {
    View,
    Cart,
}

impl Shop<'_> {
    pub(super) fn begin_visit(&mut self) -> Result<(), GenerateError> {
        let user = self.any_user();
        let visitor = if self.random.chance(BOTS) {
            self.numbers.bots += 1;
            let bot = self.numbers.bots;
            let found_ms = self.now_ms + self.around_ms(2 * 3_600_000);
            self.schedule.plan(found_ms, Task::BotFound { bot });
            Visitor::Bot(bot)
        } else if self.random.chance(ANONYMOUS) {
            self.numbers.visitors += 1;
            Visitor::Anonymous(self.numbers.visitors)
        } else {
            Visitor::User
        };
        let views_left = match visitor {
            Visitor::Bot(_) => 200,
            _ => self.random.zipf(24) as u16,
        };
        let by_app = self.random.chance(3500);
        let live = self.live_of_visit();
        let visit = Visit {
            visitor,
            user,
            by_app,
            live,
            product: 0,
            next: Next::View,
            views_left,
            cart: [(0, 0); MOST_ITEMS],
            in_cart: 0,
        };
        if live > 0 {
            self.write_live_view(&visit)?;
        }
        self.go_on_visiting(visit)
    }

    pub(super) fn go_on_visiting(&mut self, mut visit: Visit) -> Result<(), GenerateError> {
        let mut into_cart = false;
        match visit.next {
            Next::View => {
                visit.product = self.any_product();
                self.write_action(&visit, "page_view", visit.product)?;
                into_cart = match self.show_accessory(&visit)? {
                    Some(accessory) => {
                        visit.product = accessory;
                        true
                    }
                    None => self.random.chance(INTO_CART),
                };
            }
            Next::Cart => {
                self.write_action(&visit, "add_to_cart", visit.product)?;
                visit.put_into_cart(1 + self.random.zipf(3) as u8);
            }
        }
        if into_cart && !matches!(visit.visitor, Visitor::Bot(_)) {
            visit.next = Next::Cart;
        } else if visit.views_left > 0 {
            visit.views_left -= 1;
            visit.next = Next::View;
        } else if visit.in_cart > 0 && self.random.chance(ORDERING) {
            return self.order_cart(&visit);
        } else {
            return Ok(());
        }
        let pause_ms = match visit.visitor {
            Visitor::Bot(_) => 1000,
            _ => self.around_ms(45_000),
        };
        self.schedule
            .plan(self.now_ms + pause_ms, Task::Visit(visit));
        Ok(())
    }

    fn order_cart(&mut self, visit: &Visit) -> Result<(), GenerateError> {
        if let Visitor::Anonymous(visitor) = visit.visitor {
            let user = u64::from(visit.user);
            self.line
                .begin()
                .id("anonymous_id", "a", visitor)
                .id("user_id", "u", user);
            self.emit(Table::Identities)?;
            if self.random.chance(TAKEN_BACK) {
                let at_ms = self.now_ms + self.around_ms(2 * 3_600_000);
                self.schedule
                    .plan(at_ms, Task::MergeTakenBack { visitor, user });
            }
        }
        let currency = Currency::of_user(visit.user);
        let mut items = [Item::default(); MOST_ITEMS];
        let len = usize::from(visit.in_cart);
        for (item, &(product, quantity)) in items.iter_mut().zip(&visit.cart[..len]) {
            self.write_action(visit, "purchase", product)?;
            let price_cents = self.price_cents(product, currency);
            *item = Item {
                product,
                quantity: quantity.into(),
                price_cents,
            };
        }
        let channel = if visit.by_app { "app" } else { "web" };
        self.begin_order(visit.user, channel, visit.live, currency, &items[..len])
    }

    fn write_action(
        &mut self,
        visit: &Visit,
        action: &'static str,
        product: u32,
    ) -> Result<(), GenerateError> {
        self.numbers.events += 1;
        let event = self.numbers.events;
        let late_ms = if self.random.chance(LATE) {
            self.random.lateness_ms()
        } else {
            0
        };
        let at_ms = self.now_ms - late_ms;
        self.build_action(visit, action, product, event, at_ms);
        self.emit_perhaps_twice(Table::Behavior)?;
        if self.random.chance(CONTRADICTED) {
            let other = self.any_product();
            self.build_action(visit, action, other, event, at_ms);
            self.emit(Table::Behavior)?;
        }
        Ok(())
    }

    /// The site and the app log in two shapes.
    fn build_action(&mut self, visit: &Visit, action: &str, product: u32, event: u64, at_ms: u64) {
        let line = self.line.begin().id("event_id", "e", event);
        visit.visitor.write(visit.user, line);
        if visit.by_app {
            let action = if action == "page_view" {
                "browse"
            } else {
                action
            };
            line.text("action", action)
                .id("product_id", "p", product.into());
            line.text("channel", "app").time("timestamp", at_ms);
        } else {
            line.text("event", action).time("timestamp", at_ms);
            line.id("page_url", "/product/p", product.into())
                .text("channel", "web");
        }
        if visit.live > 0 {
            self.line.id("live_session_id", "live", visit.live);
        }
    }
}

impl Shop<'_> {
    /// Somebody opens the stream of a live session.
    fn write_live_view(&mut self, visit: &Visit) -> Result<(), GenerateError> {
        self.numbers.events += 1;
        let line = self.line.begin().id("event_id", "e", self.numbers.events);
        line.text("action", "live_view");
        visit.visitor.write(visit.user, line);
        line.id("live_session_id", "live", visit.live)
            .time("timestamp", self.now_ms);
        self.emit_perhaps_twice(Table::Behavior)
    }

    /// Shows an accessory beside the product looked at, if it has one; yields it if it is clicked.
    fn show_accessory(&mut self, visit: &Visit) -> Result<Option<u32>, GenerateError> {
        let has_one = visit.product < WITH_ACCESSORIES && matches!(visit.visitor, Visitor::User);
        if !has_one || !self.random.chance(SHOWN) {
            return Ok(None);
        }
        let accessory = (visit.product + ACCESSORY_APART) % self.options.products;
        self.write_feedback(visit.user, accessory, "shown")?;
        if !self.random.chance(CLICKED) {
            return Ok(None);
        }
        self.write_feedback(visit.user, accessory, "clicked")?;
        Ok(Some(accessory))
    }

    fn write_feedback(
        &mut self,
        user: u32,
        product: u32,
        action: &str,
    ) -> Result<(), GenerateError> {
        self.numbers.feedback += 1;
        self.line
            .begin()
            .id("event_id", "f", self.numbers.feedback)
            .id("user_id", "u", user.into());
        self.line
            .text("rule_id", "accessories-of-viewed")
            .id("product_id", "p", product.into());
        self.line
            .text("action", action)
            .time("timestamp", self.now_ms);
        self.emit_perhaps_twice(Table::DecisionFeedback)
    }
}

impl Visitor {
    fn write(self, user: u32, line: &mut Line) {
        match self {
            Visitor::User => line.id("user_id", "u", user.into()),
            Visitor::Anonymous(visitor) => line.id("anonymous_id", "a", visitor),
            Visitor::Bot(bot) => line.id("user_id", "bot", bot),
        };
    }
}

impl Visit {
    /// Puts the product looked at last into the cart; what does not fit is left out.
    fn put_into_cart(&mut self, quantity: u8) {
        let len = usize::from(self.in_cart);
        if let Some(line) = self.cart[..len]
            .iter_mut()
            .find(|line| line.0 == self.product)
        {
            line.1 += quantity;
        } else if len < MOST_ITEMS {
            self.cart[len] = (self.product, quantity);
            self.in_cart += 1;
        }
    }
}
