//! Whether a tool that changes something moves money.

use super::Class;
use super::describe::Description;
use super::fields::Field;
use super::name::Name;

/// What is about money wherever it is changed.
const NOUNS: &[&str] = &[
    "bank",
    "billing",
    "coupon",
    "coupons",
    "discount",
    "discounts",
    "donation",
    "invoice",
    "invoices",
    "order",
    "orders",
    "payment",
    "payments",
    "payout",
    "payouts",
    "payroll",
    "price",
    "prices",
    "purchase",
    "refund",
    "refunds",
    "salary",
    "subscription",
    "subscriptions",
    "wage",
    "withdrawal",
];
/// What is about money where the server is.
const NOUNS_AMONG_MONEY: &[&str] = &[
    "bid",
    "checkout",
    "contract",
    "credit",
    "credits",
    "funds",
    "journal",
    "loan",
    "locate",
    "position",
    "positions",
    "quote",
    "quotes",
    "stock",
    "stocks",
    "swap",
    "trade",
    "trades",
    "transaction",
    "transactions",
    "transfer",
    "wallet",
];
/// Before these `order` is a sequence.
const SEQUENCES: &[&str] = &["display", "sort", "tab", "z"];
/// What a text about money says.
const SAID: &[&str] = &[
    "bank", "charges", "charge", "funds", "invoice", "invoices", "money", "payment", "payments", "payout",
    "payroll", "refund", "refunds", "salary",
];
/// Properties that hold a sum.
const SUMS: &[&str] = &[
    "amount",
    "limit_price",
    "notional",
    "price",
    "total_amount",
    "unit_amount",
    "value_in_cents",
    "amount_cents",
];
/// Properties beside which a sum is money.
const BESIDE: &[&str] = &[
    "account_id",
    "beneficiary",
    "currency",
    "customer",
    "customer_id",
    "iban",
    "invoice",
    "invoice_id",
    "payee",
    "payment_intent",
    "payment_method",
    "recipient",
    "wallet_id",
];

/// What all tools of one server say together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Surroundings {
    /// Several of them are about money.
    pub(super) money: bool,
}

impl Surroundings {
    pub(super) fn of<'n>(names: impl Iterator<Item = &'n Name>) -> Self {
        let about = names.filter(|name| noun(name, NOUNS).is_some() || name.pays());
        Self {
            money: about.take(3).count() == 3,
        }
    }
}

/// Why a tool of `class`, which is not Read, moves money; `None` where nothing says so.
pub(super) fn moved(
    class: Class,
    name: &Name,
    description: &Description,
    fields: &[Field],
    around: Surroundings,
) -> Option<String> {
    if name.pays() {
        return Some("its name says that it pays".to_owned());
    }
    if let Some(noun) = noun(name, NOUNS) {
        return Some(format!("it changes something, and its name says `{noun}`"));
    }
    if around.money
        && let Some(noun) = noun(name, NOUNS_AMONG_MONEY)
    {
        return Some(format!("its name says `{noun}`, on a server about money"));
    }
    // what can be asked for anything can be asked for that too
    let said = match class {
        Class::Execute => description.has(SAID),
        _ => description.starts_with_one_of(SAID),
    };
    if let Some(said) = said {
        return Some(format!("it changes something, and its description says `{said}`"));
    }
    let sum = fields.iter().find(|field| field.is(SUMS))?;
    fields.iter().any(|field| field.is(BESIDE)).then(|| {
        let sum = sum.words.join("_");
        format!("it takes a sum of money, `{sum}`")
    })
}

fn noun<'n>(name: &'n Name, sought: &[&str]) -> Option<&'n str> {
    let words = &name.words;
    let before = std::iter::once(None).chain(words.iter().map(Some));
    let found = words.iter().zip(before).find(|(word, before)| {
        let sequence =
            word.starts_with("order") && before.is_some_and(|word| SEQUENCES.contains(&word.as_str()));
        let grown = word.len() > 8 && GROWN.iter().any(|noun| word.contains(noun));
        (sought.contains(&word.as_str()) || grown) && !sequence
    });
    found.map(|(word, _)| word.as_str())
}

/// Nouns that are seen in a word that has grown together (`createpayment`).
const GROWN: &[&str] = &["invoice", "payment", "payout", "refund"];
