//! Payments: how and where people pay, and the few that are fraud.

use super::orders::Order;
use super::schedule::Task;
use super::shop::{Currency, Shop};
use super::stock::LOCATIONS;
use super::{GenerateError, Table};

/// How customers pay, each as often as it stands here.
const METHODS: [&str; 10] = [
    "card",
    "card",
    "card",
    "card",
    "paypal",
    "paypal",
    "klarna",
    "klarna",
    "apple_pay",
    "transfer",
];
/// Where customers live; `places.csv` of the samples has the coordinates.
const CITIES: [&str; 6] = ["Berlin", "London", "New York", "Paris", "Madrid", "Vienna"];
/// Where those are who use the cards of others.
const FAR_CITIES: [&str; 3] = ["Sydney", "Tokyo", "Lima"];

/// Payments out of ten thousand after which the card is tried by somebody else.
const ATTACKED: u32 = 200;
/// How many stolen cards there are.
const STOLEN_CARDS: u32 = 2;
/// How many payments an attack makes, and the time between two of them on average.
const TRIES: u32 = 8;
const BETWEEN_TRIES_MS: u32 = 20_000;

/// Somebody who tries a card again and again.
#[derive(Debug)]
pub(super) struct Attack {
    number: u64,
    user: u32,
    card: u32,
    currency: Currency,
    tries_left: u32,
    /// What the account usually pays, in cents.
    usual_cents: i64,
    city: &'static str,
}

impl Shop<'_> {
    pub(super) fn write_payment(&mut self, order: &Order) -> Result<(), GenerateError> {
        let user = order.user;
        self.line
            .begin()
            .id("transaction_id", "t", order.number)
            .id("order_id", "o", order.number);
        self.line
            .id("user_id", "u", user.into())
            .cents("amount", order.total_cents());
        self.line
            .text("currency", order.currency.code())
            .time("timestamp", self.now_ms);
        if order.channel == "store" {
            let method = ["card", "cash"][user as usize % 2];
            self.line
                .text("location", LOCATIONS[order.location])
                .text("payment_method", method);
            return self.emit_perhaps_twice(Table::Transactions);
        }
        self.line
            .text("location", CITIES[user as usize % CITIES.len()])
            .text("payment_method", METHODS[user as usize % METHODS.len()]);
        self.line
            .id("card_id", "card", user.into())
            .id("device_id", "d", user.into());
        self.emit_perhaps_twice(Table::Transactions)?;
        if self.random.chance(ATTACKED) {
            self.begin_attack(order);
        }
        Ok(())
    }

    fn begin_attack(&mut self, order: &Order) {
        self.numbers.attacks += 1;
        let attack = Attack {
            number: self.numbers.attacks,
            user: order.user,
            card: self.random.below(STOLEN_CARDS),
            currency: order.currency,
            tries_left: TRIES,
            usual_cents: order.total_cents(),
            city: FAR_CITIES[self.random.below(FAR_CITIES.len() as u32) as usize],
        };
        let at_ms = self.now_ms + self.around_ms(10 * BETWEEN_TRIES_MS);
        self.schedule.plan(at_ms, Task::Attack(attack));
    }

    /// Small amounts first, and at the end a great one.
    pub(super) fn go_on_attacking(&mut self, mut attack: Attack) -> Result<(), GenerateError> {
        attack.tries_left -= 1;
        let cents = match attack.tries_left {
            0 => attack.usual_cents * 12,
            left => 100 + i64::from(left),
        };
        let number = u64::from(attack.tries_left);
        self.line
            .begin()
            .double_id("transaction_id", "x", attack.number, number)
            .id("user_id", "u", attack.user.into());
        self.line
            .cents("amount", cents)
            .text("currency", attack.currency.code());
        self.line
            .time("timestamp", self.now_ms)
            .text("location", attack.city);
        self.line
            .text("payment_method", "card")
            .id("card_id", "stolen", attack.card.into())
            .id("device_id", "farm", attack.card.into());
        self.emit(Table::Transactions)?;
        if attack.tries_left > 0 {
            let at_ms = self.now_ms + self.around_ms(BETWEEN_TRIES_MS);
            self.schedule.plan(at_ms, Task::Attack(attack));
        }
        Ok(())
    }
}
