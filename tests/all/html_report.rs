//! The page of a run in a browser: clicked through, on a phone, in the dark, on paper.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::bench::Bench;
use crate::common::browser::{Browser, chromium};

/// A page of a run with its prompts, and a browser; `None` without one.
fn opened() -> Option<(Bench, PathBuf, Browser)> {
    let chromium = chromium()?;
    let bench = Bench::new();
    bench.grid(&["-o", "out", "--tokens", "--export=report.html"]);
    let file = bench.path("report.html").canonicalize().unwrap();
    Some((bench, file, Browser::start(&chromium)))
}

/// What is open, and what is written there.
const OPEN: &str = "[...document.querySelectorAll('.trials')].filter(e => e.offsetParent !== null || \
                    getComputedStyle(e).display !== 'none').map(e => e.id)";

/// Elements that reach beyond the page at its right edge.
const BEYOND: &str = "[...document.querySelectorAll('main *')].filter(e => { const r = \
                      e.getBoundingClientRect(); return r.width > 0 && r.right > innerWidth + 1 && \
                      !e.closest('.wide') }).map(e => e.tagName + '.' + e.className)";

/// Texts whose contrast to the page behind them, by WCAG 2, is below what it asks for.
const POOR: &str = "(() => {
    const light = color => {
        const linear = c => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(n => linear(n / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = light(getComputedStyle(document.body).backgroundColor);
    const contrast = color => {
        const [more, less] = [light(color), ground].sort((x, y) => y - x);
        return (more + 0.05) / (less + 0.05);
    };
    const names = 'h1, h2, p, th, td, caption, summary, figcaption, dt, dd, .found, .looked, .missed';
    const html = [...document.querySelectorAll(names)].map(e => [e.tagName, getComputedStyle(e).color]);
    const svg = [...document.querySelectorAll('svg .ink')].map(e => ['svg', getComputedStyle(e).fill]);
    return [...html, ...svg].filter(([, color]) => contrast(color) < 4.5);
})()";

#[test]
fn a_cell_opens_its_trials_and_escape_closes_them() {
    let Some((_bench, file, mut browser)) = opened() else { return };
    for width in [1280, 390] {
        browser.open(&file, width);
        assert_eq!(browser.value(OPEN), json!([]), "at first the pictures alone are shown");
        browser.click("#figure-accuracy a.cell[href='#cell-300-50']");
        assert_eq!(browser.value(OPEN), json!(["cell-300-50"]), "at {width}");
        assert_eq!(browser.value("document.activeElement.id"), "cell-300-50");
        let text = browser.value("document.activeElement.innerText");
        let text = text.as_str().unwrap();
        for words in ["300 tokens, depth 50%", "Trial 0", "Trial 1", "question", "expected", "answer", "nats"]
        {
            assert!(text.contains(words), "{words} at {width} in {text}");
        }
        let shaded = "#cell-300-50 .prompt-text [class*=m]";
        browser.click("#cell-300-50 article details summary");
        let count = browser.value(&format!("document.querySelectorAll({shaded:?}).length"));
        assert!(count.as_u64().unwrap() > 0, "tokens are shaded");
        let colour = |browser: &mut Browser| {
            let all =
                "[...document.querySelectorAll('#cell-300-50 .prompt-text')[0].querySelectorAll('[class]')]";
            browser.value(&format!("{all}.map(e => getComputedStyle(e).backgroundColor).join()"))
        };
        let mean = colour(&mut browser);
        browser.click("#cell-300-50 .prompt .top");
        assert_ne!(colour(&mut browser), mean, "the other attention has other shades");
        assert_eq!(browser.value(BEYOND), json!([]), "at {width}");
        browser.press("Escape", 27);
        assert_eq!(browser.value(OPEN), json!([]));
        assert_eq!(browser.value("document.activeElement.getAttribute('href')"), "#cell-300-50");
    }
}

#[test]
fn a_cell_opens_by_keyboard_and_without_a_script() {
    let Some((_bench, file, mut browser)) = opened() else { return };
    browser.open(&file, 1280);
    browser.value("document.querySelector('#figure-needle-mass a.cell[href=\"#cell-200-0\"]').focus()");
    browser.press("Enter", 13);
    assert_eq!(browser.value(OPEN), json!(["cell-200-0"]));
    browser.press("Escape", 27);
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.open(&file, 1280);
    browser.click("#figure-outcome a.cell[href='#cell-200-100']");
    assert_eq!(browser.value(OPEN), json!(["cell-200-100"]));
    browser.click("#cell-200-100 .close");
    assert_eq!(browser.value(OPEN), json!([]));
}

#[test]
fn heads_are_ranked_over_any_selection_of_cells() {
    let Some((bench, file, mut browser)) = opened() else { return };
    browser.open(&file, 1280);
    let ranking = "[...document.querySelectorAll('#figure-heads ~ .wide tbody tr')].map(row => \
                   [...row.cells].map(cell => cell.textContent))";
    let axes = "[...document.querySelectorAll('#figure-heads .ink')].map(e => e.textContent)";
    let (all, named) = (browser.value(ranking), browser.value(axes));
    assert_eq!(browser.value("document.getElementById('picked').textContent"), "6 of 6 cells, 12 trials");
    browser.click(".pick button[data-all='0']");
    browser.click(".pick input[data-cell='3']");
    let one = browser.value(ranking);
    assert_ne!(one, all);
    assert_eq!(browser.value(axes), named, "the axes stay as they are");
    assert_eq!(browser.value("document.getElementById('picked').textContent"), "1 of 6 cells, 2 trials");
    // The head of the first rank, as its rows say.
    let (name, mean) = (one[0][1].as_str().unwrap(), one[0][2].as_str().unwrap());
    let (layer, head) = name.split_once('.').unwrap();
    let masses: Vec<f64> = bench
        .attention("out")
        .iter()
        .filter(|row| row.row_id.starts_with("300:0:"))
        .filter(|row| (row.layer.to_string(), row.head.to_string()) == (layer.to_string(), head.to_string()))
        .map(|row| row.needle_mass)
        .collect();
    let expected = masses.iter().sum::<f64>() / masses.len() as f64;
    assert!((mean.parse::<f64>().unwrap() - expected).abs() < 0.002, "{one} {masses:?}");
    let drawn = "[...document.querySelectorAll('#figure-heads .value')].map(e => e.getAttribute('fill'))";
    let colours = browser.value(drawn);
    browser.click(".pick button[data-all='1']");
    assert_ne!(browser.value(drawn), colours);
    assert_eq!(browser.value(ranking), all, "what the page says without a script");
}

#[test]
fn nothing_is_beyond_the_edge_and_everything_can_be_read_in_the_dark() {
    let Some((_bench, file, mut browser)) = opened() else { return };
    for scheme in ["light", "dark"] {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.call("Emulation.setEmulatedMedia", media);
        for width in [1280, 390] {
            browser.open(&file, width);
            assert_eq!(browser.value("document.documentElement.scrollWidth"), json!(width), "{scheme}");
            assert_eq!(browser.value(BEYOND), json!([]), "{scheme} at {width}");
        }
        // Every colour of a text against that behind it, by the contrast of WCAG 2.
        let poor = browser.value(POOR);
        assert_eq!(poor, json!([]), "{scheme}");
    }
}

#[test]
fn on_paper_no_column_is_cut_off() {
    let Some((bench, file, mut browser)) = opened() else { return };
    // The room between the margins of A4, in pixels.
    browser.open(&file, 718);
    browser.call("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    assert_eq!(browser.value(BEYOND.replace(" && !e.closest('.wide')", "").as_str()), json!([]));
    browser.call("Emulation.setEmulatedMedia", json!({ "media": "" }));
    let paper = json!({ "paperWidth": 8.27, "paperHeight": 11.69, "printBackground": true });
    let printed = browser.call("Page.printToPDF", paper);
    let encoded = printed["data"].as_str().unwrap().to_string();
    assert!(encoded.starts_with("JVBERi0"), "it is a PDF");
    let texts = of_pdf(&bench, &encoded);
    let columns = browser.value(
        "[...document.querySelectorAll('thead th')].filter(e => e.offsetParent).map(e => \
                                 e.textContent)",
    );
    let Some(text) = texts else { return };
    let columns: Vec<String> = serde_json::from_value(columns).unwrap();
    assert!(columns.len() > 8, "{columns:?}");
    // Of a table for choosing cells nothing is printed.
    for column in columns.iter().filter(|column| !["depth (%)", "200", "300"].contains(&column.as_str())) {
        let words = column.split_whitespace().all(|word| text.contains(word));
        assert!(words, "{column} in {text}");
    }
}

/// The words of a PDF, by poppler; `None` without that.
fn of_pdf(bench: &Bench, encoded: &str) -> Option<String> {
    std::fs::write(bench.path("page.b64"), encoded).unwrap();
    let command = "base64 -d page.b64 > page.pdf && pdftotext -layout page.pdf -";
    let shown = Command::new("sh").args(["-c", command]).current_dir(bench.path("")).output().unwrap();
    if !shown.status.success() {
        let missing = "skipped: no pdftotext here; apt-get install poppler-utils";
        assert!(std::env::var_os("NIAH_NO_SKIP").is_none(), "{missing}");
        eprintln!("{missing}");
        return None;
    }
    Some(String::from_utf8_lossy(&shown.stdout).into_owned())
}

#[test]
fn the_page_asks_for_nothing_and_breaks_no_rule_of_its_own() {
    let Some((_bench, file, mut browser)) = opened() else { return };
    browser.open(&file, 1280);
    let asked = browser.value("performance.getEntriesByType('resource').map(entry => entry.name)");
    assert_eq!(asked, json!([]));
    // What its policy forbade would be unstyled, or would not run.
    assert_eq!(browser.value("getComputedStyle(document.querySelector('.trials')).display"), "none");
    assert_eq!(browser.value("document.querySelector('.pick').hidden"), Value::Bool(false));
    let blocked = browser.value(
        "new Promise(done => { document.addEventListener('securitypolicyviolation', e => \
         done(e.violatedDirective)); document.body.insertAdjacentHTML('beforeend', '<img src=\"x.png\">'); })",
    );
    assert_eq!(blocked, "img-src");
}
