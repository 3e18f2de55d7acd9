use super::*;
use crate::export::palette::VIRIDIS;
use crate::report::document::{Part, PromptToken, Table, TrialShown, Trials};
use crate::report::heatmap::Heatmap;
use crate::report::tests::{failed, outcome};
use crate::span::SpanKind;
use crate::trial::Outcome;

fn document(blocks: Vec<Block>) -> Document {
    Document { title: "t".to_string(), blocks }
}

#[test]
fn what_is_hidden_or_turns_the_direction_can_be_read() {
    let blocks = vec![Block::Code("a\nb\x1b[2J".to_string()), Block::Paragraph("\u{202e}x'".to_string())];
    let html = page(&Document { title: "t\0\u{200b}".to_string(), blocks }, VIRIDIS);
    assert!(html.contains("<pre>a\nb\\u{1b}[2J</pre>") && html.contains("<p>\\u{202e}x&#39;</p>"), "{html}");
    assert!(html.contains("<title>t\\u{0}\\u{200b}</title>"), "{html}");
    assert!(!html.contains(|c| c != '\n' && crate::printable::is_hidden(c)), "{html}");
}

#[test]
fn words_mean_themselves_and_every_block_is_there() {
    let table = Table {
        caption: "c".to_string(),
        header: vec!["name".to_string(), "n".to_string()],
        rows: vec![vec!["<script>".to_string(), "1 [0, 2]".to_string()]],
    };
    let blocks = vec![
        Block::Heading("h & h".to_string()),
        Block::Paragraph("p".to_string()),
        Block::Code("$ niah > x".to_string()),
        Block::Table(table),
    ];
    let html = page(&document(blocks), VIRIDIS);
    assert!(!html.contains("<script>"), "{html}");
    assert!(html.contains("<th scope=\"row\">&lt;script&gt;</th><td>1 [0,&nbsp;2]</td>"), "{html}");
    assert!(html.contains("<th scope=\"col\">name</th><th scope=\"col\">n</th>"), "{html}");
    for piece in ["<h1>t</h1>", "<h2>h &amp; h</h2>", "<p>p</p>", "<pre>$ niah &gt; x</pre>", "</html>"] {
        assert!(html.contains(piece), "{piece} in {html}");
    }
}

/// A page of two cells, everything in which a model or a corpus has a word in is `word`.
fn run_page(word: &str) -> String {
    let token = |text: &str, top| PromptToken {
        text: text.to_string(),
        mean: 0.01,
        top,
        part: (top > 0.5).then_some(Part { kind: SpanKind::Target, span: 0 }),
        in_value: top > 0.5,
    };
    let answered = Outcome {
        question: word.to_string(),
        needle: word.to_string(),
        expected_answer: format!("{word}|42"),
        model_response: Some(format!("It is {word}.")),
        answer_logprob: Some(-0.25),
        answer_rank: Some(3),
        ..outcome(1024, 50.0, 0, true, Some(0.75))
    };
    let broken = Outcome { error: Some(word.to_string()), ..failed(2048, 50.0, 0) };
    let cells = crate::report::cells(&[answered.clone(), broken.clone()], &[]);
    let map = Heatmap::accuracy(&cells, None);
    let trial = |outcome: Outcome, prompt| (outcome.cell(), vec![TrialShown { outcome, prompt }]);
    let mut prompt = vec![token(word, 0.0); 100];
    prompt.push(token(word, 0.9));
    let cells = vec![trial(answered, Some(prompt)), trial(broken, None)];
    let blocks = vec![Block::Figure(Figure::heatmap("accuracy", map)), Block::Trials(Trials { cells })];
    page(&document(blocks), VIRIDIS)
}

#[test]
fn a_cell_leads_to_its_trials_with_the_match_marked() {
    let html = run_page("7654321");
    assert!(html.contains("<a class=\"cell\" href=\"#cell-1024-50\""), "{html}");
    assert!(html.contains("<section class=\"trials\" id=\"cell-1024-50\""), "{html}");
    for words in [
        "It is <mark>7654321</mark>.",
        "&minus;0.250",
        "rank 3",
        "found",
        "failed",
        "<details class=\"fold\"><summary>",
        "<u><b class=\"",
    ] {
        assert!(html.contains(words), "{words} in {html}");
    }
}

#[test]
fn nothing_of_a_run_is_obeyed_by_a_browser() {
    let html = run_page("</script><img src=x onerror=alert(1)>\"' onload=\"x\u{202e}");
    assert!(!html.contains("<img") && !html.contains("\" onload=") && !html.contains('\u{202e}'), "{html}");
    // That of the page itself.
    assert_eq!(html.matches("</script>").count(), 1, "{html}");
    assert!(
        !html.contains(" style=\"")
            && !html.contains("javascript:")
            && !html.contains("http://www.w3.org/1999")
    );
}

#[test]
fn the_policy_allows_what_the_page_brings_and_nothing_else() {
    let html = run_page("x");
    let between = |start: &str, end: &str| html.split(start).nth(1).unwrap().split(end).next().unwrap();
    let policy = between("http-equiv=\"Content-Security-Policy\" content=\"", "\"");
    let hash = |text: &str| policy::hash(text);
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(policy.contains(&format!("style-src '{}'", hash(between("<style>", "</style>")))), "{policy}");
    assert!(policy.contains(&format!("script-src '{}'", hash(between("<script>", "</script>")))), "{policy}");
    let plain = page(&document(vec![]), VIRIDIS);
    assert!(!plain.contains("script-src") && !plain.contains("<script"), "{plain}");
}
