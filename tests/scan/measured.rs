use crate::labelled::{Half, servers};
#[test]
fn tuning() {
    let mut ok = 0;
    let mut n = 0;
    for s in servers().iter().filter(|s| s.half == Half::Tuning) {
        for (t, l) in s.classed() {
            n += 1;
            if t.class == l {
                ok += 1
            } else {
                println!(
                    "{} {} label {} got {} {:?} {:?}",
                    s.name,
                    t.name,
                    l.word(),
                    t.class.word(),
                    t.risk,
                    t.reasons
                )
            }
        }
    }
    println!("{ok} of {n}");
}
#[test]
fn other() {
    for f in ["digitalocean", "sentry"] {
        let t = std::fs::read_to_string(format!("/work/tmp/rec/out/{f}.json")).unwrap();
        let tools = toolgate::mcp::tools::recorded(&t).unwrap();
        for c in toolgate::scan::classify(Some(f), &tools) {
            println!(
                "{:<11} {:?} {} {:?}",
                c.class.word(),
                c.risk,
                c.name,
                c.reasons.first()
            );
        }
    }
}
