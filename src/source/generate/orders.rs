//! Orders: from being placed, through checks, payment and shipping, to refunds and ratings.

use super::schedule::Task;
use super::shop::{Currency, Shop};
use super::stock::{LOCATIONS, STORES, WAREHOUSES};
use super::visits::MOST_ITEMS;
use super::{GenerateError, Table};

/// All out of ten thousand orders.
const DISCOUNTED: u32 = 1500;
const HELD_BACK: u32 = 30;
const PAYMENT_FAILS: u32 = 250;
const CANCELLED_BEFORE_SHIPPING: u32 = 450;
const CANCELLED_AFTER_SHIPPING: u32 = 120;
const REFUNDED: u32 = 900;
const REFUNDED_IN_FULL: u32 = 3500;
const RATED: u32 = 4000;
const NEVER_VALIDATED: u32 = 60;
const STOCK_CHECK_FAILS: u32 = 120;
const FORGOTTEN: u32 = 40;
/// Out of ten thousand ratings.
const EDITED: u32 = 1000;
const RECOMMENDING: u32 = 3000;
const ANSWERED: u32 = 8000;

const MINUTE_MS: u32 = 60_000;
const HOUR_MS: u32 = 3_600_000;

/// A line of an order.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Item {
    pub(super) product: u32,
    pub(super) quantity: u32,
    pub(super) price_cents: i64,
}

/// An order between two states.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) user: u32,
    pub(super) channel: &'static str,
    pub(super) location: usize,
    /// The live session that it was placed in, by number; zero for none.
    live: u64,
    pub(super) currency: Currency,
    items: [Item; MOST_ITEMS],
    len: usize,
    discount_cents: i64,
    placed_ms: u64,
    /// How many lines about it were written.
    lines: u64,
    next: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A refund whose order has not been heard of yet.
    RefundAhead,
    /// The line that creates the order, after its refund.
    CreateLate,
    Validate,
    Pay,
    PayAgain,
    CheckStock,
    CheckStockAgain,
    Ship,
    CancelUnshipped,
    Deliver,
    CancelShipped,
    Refund,
    Rate,
    EditRating,
    AnswerRating,
}

impl Order {
    fn items(&self) -> &[Item] {
        &self.items[..self.len]
    }

    pub(super) fn total_cents(&self) -> i64 {
        let gross: i64 = self
            .items()
            .iter()
            .map(|i| i.price_cents * i64::from(i.quantity))
            .sum();
        gross - self.discount_cents
    }
}

impl Shop<'_> {
    pub(super) fn begin_order(
        &mut self,
        user: u32,
        channel: &'static str,
        live: u64,
        currency: Currency,
        bought: &[Item],
    ) -> Result<(), GenerateError> {
        let location = WAREHOUSES[usize::from(self.random.chance(2000))];
        let mut order = self.new_order(user, channel, location, currency, bought);
        order.live = live;
        if self.random.chance(HELD_BACK) {
            return self.later(order, Step::RefundAhead, HOUR_MS);
        }
        self.write_creation(&mut order)?;
        self.validate_next(order)
    }

    /// A customer takes something from the shelf of a store and pays.
    pub(super) fn buy_in_store(&mut self) -> Result<(), GenerateError> {
        let user = self.any_user();
        let (location, currency) = STORES[self.random.below(STORES.len() as u32) as usize];
        let product = self.on_shelf(location);
        let quantity = 1;
        let price_cents = self.price_cents(product, currency);
        let bought = [Item {
            product,
            quantity,
            price_cents,
        }];
        let mut order = self.new_order(user, "store", location, currency, &bought);
        self.write_creation(&mut order)?;
        self.write_state(&mut order, "paid")?;
        self.write_payment(&order)?;
        self.change_stock(product, location, -i64::from(quantity), "sale")?;
        self.write_state(&mut order, "delivered")?;
        self.after_delivery(order)
    }

    fn new_order(
        &mut self,
        user: u32,
        channel: &'static str,
        location: usize,
        currency: Currency,
        bought: &[Item],
    ) -> Box<Order> {
        let mut items = [Item::default(); MOST_ITEMS];
        items[..bought.len()].copy_from_slice(bought);
        self.numbers.orders += 1;
        let mut order = Box::new(Order {
            number: self.numbers.orders,
            user,
            channel,
            location,
            live: 0,
            currency,
            items,
            len: bought.len(),
            discount_cents: 0,
            placed_ms: self.now_ms,
            lines: 0,
            next: Step::Pay,
        });
        if self.random.chance(DISCOUNTED) {
            order.discount_cents = order.total_cents() / 10;
        }
        if currency == Currency::Eur {
            for item in bought {
                let cents = item.price_cents * i64::from(item.quantity);
                let category = self.catalogue[item.product as usize].category;
                self.unreported_cents[usize::from(category)] += cents;
                self.booked_cents += cents;
            }
        }
        order
    }

    pub(super) fn go_on_with_order(&mut self, mut order: Box<Order>) -> Result<(), GenerateError> {
        match order.next {
            Step::RefundAhead => {
                self.write_refund(&order, false)?;
                self.later(order, Step::CreateLate, HOUR_MS)
            }
            Step::CreateLate => {
                self.write_creation(&mut order)?;
                self.validate_next(order)
            }
            Step::Validate => {
                self.write_state(&mut order, "validated")?;
                self.later(order, Step::Pay, 2 * MINUTE_MS)
            }
            Step::Pay if self.random.chance(PAYMENT_FAILS) => {
                self.write_state(&mut order, "payment_failed")?;
                self.later(order, Step::PayAgain, 10 * MINUTE_MS)
            }
            Step::PayAgain if self.random.chance(3000) => self.cancel(order, true),
            Step::Pay | Step::PayAgain => self.pay(order),
            Step::CancelUnshipped => self.cancel(order, true),
            Step::CancelShipped => self.cancel(order, false),
            Step::CheckStock if self.random.chance(STOCK_CHECK_FAILS) => {
                self.write_state(&mut order, "stock_check_failed")?;
                self.later(order, Step::CheckStockAgain, HOUR_MS)
            }
            Step::CheckStockAgain if self.random.chance(3000) => self.cancel(order, true),
            Step::CheckStock | Step::CheckStockAgain => {
                self.write_state(&mut order, "stock_checked")?;
                self.later(order, Step::Ship, HOUR_MS)
            }
            Step::Ship => self.ship(order),
            Step::Deliver => {
                self.write_state(&mut order, "delivered")?;
                self.after_delivery(order)
            }
            Step::Refund => {
                let in_full = self.random.chance(REFUNDED_IN_FULL);
                self.write_refund(&order, in_full)?;
                match in_full {
                    true => self.write_state(&mut order, "refunded"),
                    false => Ok(()),
                }
            }
            Step::Rate | Step::EditRating => self.rate(order),
            Step::AnswerRating => self.answer_rating(&order),
        }
    }

    /// Nearly every order is validated before it is paid.
    fn validate_next(&mut self, order: Box<Order>) -> Result<(), GenerateError> {
        match self.random.chance(NEVER_VALIDATED) {
            true => self.later(order, Step::Pay, 3 * MINUTE_MS),
            false => self.later(order, Step::Validate, MINUTE_MS),
        }
    }

    fn later(
        &mut self,
        mut order: Box<Order>,
        next: Step,
        mean_ms: u32,
    ) -> Result<(), GenerateError> {
        order.next = next;
        let at_ms = self.now_ms + self.around_ms(mean_ms);
        self.schedule.plan(at_ms, Task::Order(order));
        Ok(())
    }

    fn pay(&mut self, mut order: Box<Order>) -> Result<(), GenerateError> {
        self.write_state(&mut order, "paid")?;
        self.write_payment(&order)?;
        if self.random.chance(CANCELLED_BEFORE_SHIPPING) {
            return self.later(order, Step::CancelUnshipped, HOUR_MS);
        }
        if self.random.chance(FORGOTTEN) {
            return Ok(());
        }
        self.later(order, Step::CheckStock, HOUR_MS)
    }

    fn ship(&mut self, mut order: Box<Order>) -> Result<(), GenerateError> {
        self.write_state(&mut order, "shipped")?;
        for n in 0..order.len {
            let Item {
                product, quantity, ..
            } = order.items[n];
            self.write_reservation(product, order.location, quantity, "release")?;
            self.change_stock(product, order.location, -i64::from(quantity), "sale")?;
        }
        if self.random.chance(CANCELLED_AFTER_SHIPPING) {
            return self.later(order, Step::CancelShipped, 2 * HOUR_MS);
        }
        self.later(order, Step::Deliver, 6 * HOUR_MS)
    }

    fn cancel(&mut self, mut order: Box<Order>, in_house: bool) -> Result<(), GenerateError> {
        self.write_state(&mut order, "cancelled")?;
        for n in 0..order.len {
            let Item {
                product, quantity, ..
            } = order.items[n];
            if in_house {
                self.write_reservation(product, order.location, quantity, "release")?;
            } else {
                self.change_stock(product, order.location, quantity.into(), "return")?;
            }
        }
        Ok(())
    }

    fn after_delivery(&mut self, order: Box<Order>) -> Result<(), GenerateError> {
        if self.random.chance(REFUNDED) {
            return self.later(order, Step::Refund, 3 * HOUR_MS);
        }
        if self.random.chance(RATED) {
            return self.later(order, Step::Rate, HOUR_MS);
        }
        Ok(())
    }

    fn write_creation(&mut self, order: &mut Order) -> Result<(), GenerateError> {
        order.lines += 1;
        let line = self
            .line
            .begin()
            .double_id("event_id", "o", order.number, order.lines);
        line.id("order_id", "o", order.number)
            .id("user_id", "u", order.user.into());
        line.text("status", "created")
            .time("timestamp", order.placed_ms);
        line.text("currency", order.currency.code())
            .text("channel", order.channel);
        if order.channel == "store" {
            line.text("location", LOCATIONS[order.location]);
        }
        if order.live > 0 {
            line.id("live_session_id", "live", order.live);
        }
        if order.discount_cents > 0 {
            line.cents("discount", order.discount_cents);
        }
        line.list("items", order.len, |line, n| {
            let item = order.items[n];
            line.id("product_id", "p", item.product.into());
            line.number("quantity", item.quantity.into())
                .cents("price", item.price_cents);
        });
        self.emit_perhaps_twice(Table::Orders)?;
        if order.channel == "store" {
            return Ok(());
        }
        for n in 0..order.len {
            let Item {
                product, quantity, ..
            } = order.items[n];
            self.write_reservation(product, order.location, quantity, "reserve")?;
        }
        Ok(())
    }

    fn write_state(&mut self, order: &mut Order, status: &str) -> Result<(), GenerateError> {
        order.lines += 1;
        self.line
            .begin()
            .double_id("event_id", "o", order.number, order.lines);
        self.line
            .id("order_id", "o", order.number)
            .text("status", status);
        self.line.time("timestamp", self.now_ms);
        self.emit_perhaps_twice(Table::Orders)
    }

    fn write_refund(&mut self, order: &Order, in_full: bool) -> Result<(), GenerateError> {
        self.numbers.refunds += 1;
        self.line.begin().id("refund_id", "r", self.numbers.refunds);
        self.line.id("order_id", "o", order.number);
        if in_full {
            self.line
                .cents("amount", order.total_cents())
                .text("reason", "not satisfied");
        } else {
            let item = order.items[0];
            let cents = item.price_cents.min(order.total_cents());
            self.line
                .id("product_id", "p", item.product.into())
                .number("quantity", 1);
            self.line
                .cents("amount", cents)
                .text("reason", "one too many");
        }
        self.line
            .text("currency", order.currency.code())
            .time("timestamp", self.now_ms);
        self.emit_perhaps_twice(Table::Refunds)?;
        if in_full || order.next == Step::RefundAhead {
            return Ok(());
        }
        self.change_stock(order.items[0].product, order.location, 1, "return")
    }

    /// Rates the first product of an order, or edits that rating; what is low may be answered.
    fn rate(&mut self, order: Box<Order>) -> Result<(), GenerateError> {
        let edits = order.next == Step::EditRating;
        let rating = 5 - self.random.zipf(5);
        self.write_rating(&order, rating)?;
        if !edits && self.random.chance(RECOMMENDING) {
            self.write_recommendation(&order)?;
        }
        if !edits && self.random.chance(EDITED) {
            return self.later(order, Step::EditRating, HOUR_MS);
        }
        if rating <= 2 && self.random.chance(ANSWERED) {
            return self.later(order, Step::AnswerRating, 30 * MINUTE_MS);
        }
        Ok(())
    }

    fn write_rating(&mut self, order: &Order, rating: u32) -> Result<(), GenerateError> {
        const WORDS: [&str; 5] = [
            "Never again.",
            "Too slow.",
            "It will do.",
            "Good.",
            "Great service!",
        ];
        self.begin_rating(order, "s");
        self.line
            .id("rating_id", "s", order.number)
            .id("user_id", "u", order.user.into());
        self.line
            .text("feedback", WORDS[rating as usize - 1])
            .time("timestamp", self.now_ms);
        self.line.number("rating", rating.into());
        self.line
            .id("product_id", "p", order.items[0].product.into());
        self.emit_perhaps_twice(Table::Ratings)
    }

    /// How likely the customer is to recommend the shop.
    fn write_recommendation(&mut self, order: &Order) -> Result<(), GenerateError> {
        let rating = 10 - self.random.zipf(11);
        self.begin_rating(order, "n");
        self.line
            .id("user_id", "u", order.user.into())
            .text("kind", "nps");
        self.line
            .number("rating", rating.into())
            .time("timestamp", self.now_ms);
        self.emit_perhaps_twice(Table::Ratings)
    }

    fn begin_rating(&mut self, order: &Order, prefix: &str) {
        let time = u64::from(order.next == Step::EditRating);
        self.line
            .begin()
            .double_id("event_id", prefix, order.number, time);
    }

    fn answer_rating(&mut self, order: &Order) -> Result<(), GenerateError> {
        self.numbers.answers += 1;
        self.line
            .begin()
            .id("event_id", "w", self.numbers.answers)
            .id("rating_id", "s", order.number);
        self.line
            .text("answered_by", "support")
            .time("timestamp", self.now_ms);
        self.emit(Table::RatingAnswers)
    }
}
