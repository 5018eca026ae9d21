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
