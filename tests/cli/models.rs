//! Models in SQL: asked by name, the same bits in any company, and refused where they are none.

use arrow::array::Float32Array;
use tillrace::model::Model;

use crate::shop::Shop;

/// Parts of a protocol buffer, as <https://protobuf.dev/programming-guides/encoding/> lays them out.
/// The numbers of fields are those of `onnx.proto3`.
fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn bytes(field: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let length = varint(content.len() as u64);
    [varint(field << 3 | 2), length, content.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn node(kind: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|input| bytes(1, input));
    let node: Vec<u8> = inputs
        .chain(bytes(2, output))
        .chain(bytes(4, kind))
        .collect();
    bytes(1, node)
}

fn weights(name: &str, shape: &[u64], values: &[f32]) -> Vec<u8> {
    let dims = shape.iter().flat_map(|dim| number(1, *dim));
    let raw: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let tensor: Vec<u8> = dims
        .chain(number(2, 1))
        .chain(bytes(8, name))
        .chain(bytes(9, raw))
        .collect();
    bytes(5, tensor)
}

/// A value of 32-bit floats: rows of some width.
fn value(field: u64, name: &str, width: u64) -> Vec<u8> {
    let rows = bytes(1, bytes(2, "rows"));
    let shape = [rows, bytes(1, number(1, width))].concat();
    let tensor = [number(1, 1), bytes(2, shape)].concat();
    let kind = bytes(1, tensor);
    bytes(field, [bytes(1, name), bytes(2, kind)].concat())
}

/// A logistic regression, `1 / (1 + exp(-(x . w + b)))`.
fn logistic(w: &[f32], b: f32) -> Vec<u8> {
    let graph = [
        node("Gemm", &["x", "w", "b"], "z"),
        node("Sigmoid", &["z"], "p"),
        bytes(2, "logistic"),
        weights("w", &[w.len() as u64, 1], w),
        weights("b", &[1], &[b]),
        value(11, "x", w.len() as u64),
        value(12, "p", 1),
    ];
    let opset = bytes(8, number(2, 13));
    [number(1, 8), bytes(7, graph.concat()), opset].concat()
}

const SCORED: &str = "
CREATE MODEL risk FROM 'models/risk.onnx';
CREATE TABLE payments (id TEXT, amount DOUBLE, tries INT);
CREATE MATERIALIZED VIEW scored AS
  SELECT id, round(score('risk', amount, tries), 4) AS risk FROM payments ORDER BY id;
CREATE MATERIALIZED VIEW risky AS
  SELECT count(*) AS payments, max(score('risk', amount, tries)) > 0.5 AS any_risky FROM payments;
";

const PAYMENTS: &str = r#"{"id": "a", "amount": 0, "tries": 0}
{"id": "b", "amount": 10, "tries": 1}
{"id": "c", "amount": 2, "tries": null}
{"id": "d", "amount": -3.5, "tries": 2}
"#;

fn shop() -> Shop {
    let shop = Shop::new();
    std::fs::create_dir(shop.path("models")).expect("a folder");
    shop.write("models/risk.onnx", logistic(&[0.5, -1.0], 0.25));
    shop.write("shop.sql", SCORED);
    shop.write("payments.jsonl", PAYMENTS);
    shop
}

#[test]
fn a_model_scores_rows() {
    let shop = shop();
    let run = shop.run(&[
        "replay",
        "shop.sql",
        "-i",
        "payments=payments.jsonl",
        "--view",
        "scored",
        "--format",
        "csv",
    ]);
    let sigmoid = |z: f64| (1.0 / (1.0 + (-z).exp()) * 1e4).round() / 1e4;
    let expected = format!(
        "id,risk\na,{}\nb,{}\nc,\nd,{}\n",
        sigmoid(0.25),
        sigmoid(0.5 * 10.0 - 1.0 + 0.25),
        sigmoid(0.5 * -3.5 - 2.0 + 0.25),
    );
    assert_eq!(run.status(0).out(), expected);
    let verified = shop.run(&["verify", "shop.sql", "-i", "payments=payments.jsonl"]);
    verified
        .status(0)
        .prints(&["2 views equal their batch answers"]);
}

#[test]
fn a_row_has_one_score_in_any_company() {
    let shop = Shop::new();
    let weights: Vec<f32> = (0..57).map(|n| (n as f32 * 0.37).sin()).collect();
    shop.write("wide.onnx", logistic(&weights, 0.1));
    let model = Model::load("wide", &shop.path("wide.onnx")).expect("a model");
    assert_eq!(model.features(), 57);
    let value = |row: usize, at: usize| ((row * 31 + at * 17) as f32 * 0.013).cos();
    let columns = |rows: std::ops::Range<usize>| -> Vec<Float32Array> {
        let column = |at| rows.clone().map(|row| Some(value(row, at))).collect();
        (0..57).map(column).collect()
    };
    let together = model.score(&columns(0..100)).expect("scores");
    for row in 0..100 {
        let alone = model.score(&columns(row..row + 1)).expect("a score");
        assert_eq!(
            alone.value(0).to_bits(),
            together.value(row).to_bits(),
            "{row}"
        );
    }
    for start in 1..40 {
        let some = model.score(&columns(start..100)).expect("scores");
        for row in start..100 {
            assert_eq!(
                some.value(row - start).to_bits(),
                together.value(row).to_bits()
            );
        }
    }
}

#[test]
fn what_is_no_model_is_refused_with_its_place() {
    let shop = shop();
    let check = |sql: &str, parts: &[&str]| {
        shop.write("shop.sql", sql);
        shop.run(&["check", "shop.sql"]).status(1).says(parts);
    };
    check(
        &SCORED.replace("risk.onnx", "gone.onnx"),
        &["gone.onnx", "shop.sql:2"],
    );
    shop.write("models/noise.onnx", [7, 1, 2, 3]);
    check(
        &SCORED.replace("risk.onnx", "noise.onnx"),
        &["could not load", "noise.onnx"],
    );
    let flat = [
        node("Sigmoid", &["x"], "p"),
        bytes(2, "flat"),
        value(11, "x", 3),
        value(12, "p", 3),
    ];
    let flat = [
        number(1, 8),
        bytes(7, flat.concat()),
        bytes(8, number(2, 13)),
    ]
    .concat();
    shop.write("models/flat.onnx", flat);
    check(
        &SCORED.replace("risk.onnx", "flat.onnx"),
        &["cannot score", "not a score for each"],
    );
    check(
        &SCORED.replace("amount, tries)", "amount)"),
        &["model 'risk' takes 2 features, not 1"],
    );
    check(
        &SCORED.replace("score('risk'", "score('rsk'"),
        &["there is no model 'rsk'; did you mean 'risk'?"],
    );
    check(
        &SCORED.replace("amount, tries)", "amount, id)"),
        &["a feature of score() is a number"],
    );
    check(
        &format!("{SCORED}CREATE MODEL risk FROM 'models/risk.onnx';"),
        &["created twice"],
    );
    check("CREATE MODEL risk 'x.onnx';", &["`FROM`"]);
}
