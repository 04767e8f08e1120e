//! One canonical form: a short form becomes the long one before anything is inherited, so that the nearest block wins
//! whatever words it uses.

use crate::{
    decode::{join, unite},
    diagnostic::Draft,
    schema::{Block, Kind, ROOT},
    value::{BlockVal, Data, Origin, Val},
};

/// Keys of `auth.jwt` that may stand in the block itself instead of one entry of `keys`.
const JWT_SHORT: [&str; 6] =
    ["kid", "algorithm", "secret_key", "secret_key_file", "public_key", "public_key_file"];

/// Rewrites the whole document.
pub(crate) fn canonical(root: &mut BlockVal, drafts: &mut Vec<Draft>) {
    let mut moves = Vec::new();
    find_moves(&ROOT, &mut Vec::new(), &mut moves);
    for (from, to) in moves {
        move_key(root, &from, to, drafts);
    }
    walk(root, "", &mut |block, path| match block.schema.name {
        "retry" => backoff(block, path, drafts),
        "health_check" => probe_type(block, path, drafts),
        "circuit_breaker.sliding_window" => window_type(block, path, drafts),
        "auth" | "auth (of a route)" => auth_type(block, path, drafts),
        "auth.jwt" => jwt_key(block, path, drafts),
        _ => {}
    });
}

/// Calls `visit` on every block with its path, inner ones first.
pub(crate) fn walk(block: &mut BlockVal, path: &str, visit: &mut dyn FnMut(&mut BlockVal, &str)) {
    for (name, val) in &mut block.fields {
        match &mut val.data {
            Data::Block(inner) => walk(inner, &join(path, name), visit),
            Data::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    if let Some(inner) = item.block_mut() {
                        walk(inner, &format!("{}[{index}]", join(path, name)), visit);
                    }
                }
            }
            _ => {}
        }
    }
    visit(block, path);
}

fn find_moves(
    schema: &'static Block,
    path: &mut Vec<&'static str>,
    moves: &mut Vec<(Vec<&'static str>, &'static str)>,
) {
    for key in schema.keys() {
        path.push(key.name);
        if let Some(to) = key.moves {
            moves.push((path.clone(), to));
        }
        if let Kind::Block(inner) = key.kind {
            find_moves(inner, path, moves);
        }
        path.pop();
    }
}

fn move_key(root: &mut BlockVal, from: &[&'static str], to: &'static str, drafts: &mut Vec<Draft>) {
    let Some((leaf, blocks)) = from.split_last() else { return };
    let mut source = Some(&mut *root);
    for name in blocks {
        source = source.and_then(|block| block.block_mut(name));
    }
    let Some(val) = source.and_then(|block| block.fields.remove(leaf)) else { return };
    let target: Vec<&str> = to.split('.').collect();
    let Some((leaf, blocks)) = target.split_last() else { return };
    let Some(block) = root.reach(blocks) else { return };
    let mut moved = BlockVal::new(block.schema, val.at);
    moved.set(leaf, val);
    unite(block, moved, &blocks.join("."), drafts);
}

fn backoff(block: &mut BlockVal, path: &str, drafts: &mut Vec<Draft>) {
    let Some(val) = block.fields.remove("backoff") else { return };
    let constant = val.data == Data::Word("constant");
    match block.get("multiplier").map(|val| &val.data) {
        None => {
            let multiplier = Data::Float(if constant { 1.0 } else { 2.0 });
            block.set("multiplier", Val { data: multiplier, ..val });
        }
        Some(Data::Float(n)) if ((*n - 1.0).abs() < f64::EPSILON) == constant => {}
        _ => drafts.push(
            Draft::error(join(path, "backoff"), val.at, "contradicts `multiplier`")
                .help("constant is `multiplier: 1`, exponential is more than 1; keep one of the two keys")
                .also(block.at_key("multiplier"), "the multiplier"),
        ),
    }
}

fn probe_type(block: &mut BlockVal, path: &str, drafts: &mut Vec<Draft>) {
    if !block.mentions("path") {
        return;
    }
    match block.word("type") {
        None => {
            let at = block.at_key("path");
            block.set("type", Val { at, ..Val::derived(Data::Word("http"), Origin::Given) });
        }
        Some("tcp") => drafts.push(
            Draft::error(join(path, "path"), block.at_key("path"), "a `tcp` probe asks for no path")
                .help("use `type: http`, or remove the path"),
        ),
        Some(_) => {}
    }
}

fn window_type(block: &mut BlockVal, path: &str, drafts: &mut Vec<Draft>) {
    for (key, kind, other) in [("size", "count_based", "duration"), ("duration", "time_based", "size")] {
        if !block.mentions(key) {
            continue;
        }
        match block.word("type") {
            None => {
                let at = block.at_key(key);
                block.set("type", Val { at, ..Val::derived(Data::Word(kind), Origin::Given) });
            }
            Some(word) if word != kind => drafts.push(
                Draft::error(join(path, key), block.at_key(key), format!("needs `type: {kind}`"))
                    .help(format!("with `type: {word}` give `{other}`")),
            ),
            Some(_) => {}
        }
    }
}

fn auth_type(block: &mut BlockVal, path: &str, drafts: &mut Vec<Draft>) {
    for kind in ["jwt", "api_key"] {
        if !block.mentions(kind) {
            continue;
        }
        match block.word("type") {
            None => {
                let at = block.at_key(kind);
                block.set("type", Val { at, ..Val::derived(Data::Word(kind), Origin::Given) });
            }
            Some(word) if word != kind => drafts.push(
                Draft::error(
                    join(path, kind),
                    block.at_key(kind),
                    format!("is not used with `type: {word}`"),
                )
                .help("remove the block, or change the type")
                .also(block.at_key("type"), "the type"),
            ),
            Some(_) => {}
        }
    }
    let kind = block.word("type").filter(|kind| *kind != "none" && !block.mentions(kind));
    if let Some(kind) = kind {
        drafts.push(Draft::error(
            join(path, "type"),
            block.at_key("type"),
            format!("`type: {kind}` needs a block `{kind}`"),
        ));
    }
}

fn jwt_key(block: &mut BlockVal, path: &str, drafts: &mut Vec<Draft>) {
    let Some(Kind::List { of: Kind::Block(schema), .. }) = block.schema.key("keys").map(|key| key.kind)
    else {
        return;
    };
    let short: Vec<&str> = JWT_SHORT.into_iter().filter(|name| block.mentions(name)).collect();
    let Some(first) = short.first().copied() else { return };
    let at = block.at_key(first);
    if block.mentions("keys") {
        drafts.push(
            Draft::error(join(path, first), at, "a key stands in the block and in `keys`")
                .help("move it into `keys`")
                .also(block.at_key("keys"), "the list"),
        );
        return;
    }
    let mut entry = BlockVal::new(schema, at);
    for name in short {
        if let Some(val) = block.fields.remove(name) {
            entry.set(name, val);
        } else if let Some(key) = schema.key(name) {
            entry.refused.insert(key.name);
        }
    }
    let item = Val { at, ..Val::derived(Data::Block(entry), Origin::Given) };
    block.set("keys", Val { at, ..Val::derived(Data::List(vec![item]), Origin::Given) });
}
