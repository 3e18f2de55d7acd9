use proptest::prelude::*;

use super::*;
use crate::grid::Depth;
use crate::report::tests::{failed, outcome};

fn hostile() -> Outcome {
    Outcome {
        needle: "\nwith \"quotes\", commas,\r\nline ends\r and\0nul\n".into(),
        question: "=HYPERLINK(\"x\")".into(),
        expected_answer: "\"".into(),
        model_response: Some("\n\"\n".into()),
        model: " spaces \u{feff}é漢字🦀 ".into(),
        task: String::new(),
        depth_percent: Depth::from_percent(0.1 + 0.2).unwrap(),
        answer_logprob: Some(-1.0e-300),
        needle_mass_top: Some(f64::MIN_POSITIVE),
        duration_seconds: Some(f64::MAX),
        ..outcome(1024, 50.0, 0, true, None)
    }
}

fn attention(head: usize) -> AttentionRow {
    AttentionRow {
        run_id: "run".into(),
        row_id: "1024:50:0".into(),
        layer: 3,
        head,
        needle_mass: 1.0 / 3.0,
        value_mass: 0.0,
        total_mass: 1.0,
        sink_mass: 0.5,
        lift: None,
        entropy: Some(2.5),
        argmax_position: 7,
        answer_needle_mass: 0.25,
        answer_value_mass: 0.125,
        answer_total_mass: 1.0,
        answer_sink_mass: 0.0,
        ..AttentionRow::default()
    }
}

#[test]
fn columns_are_the_fields_in_their_order() {
    assert_eq!(
        header::<Outcome>(),
        "run_id,model,variant,task,context_length,depth_percent,trial,seed,prompt_tokens,actual_depth_percent,\
         needle_start,needle_end,needle,question,expected_answer,model_response,score,correct,answer_logprob,\
         answer_rank,outcome,needle_mass_top,needle_mass_mean,status,error,duration_seconds,timestamp_utc,config_hash,\
         row_id,value_start,value_end,prompt_hash,total_mass_top,control_spans,control_mass_top,\
         needle_excess_top,control_excess_top,thinking_tokens,thinking_cut,changed_word,answered_word,answered,looked_at,\
         earlier_values,earlier_age,noise_floor\n"
    );
    assert_eq!(
        header::<AttentionRow>(),
        "run_id,row_id,layer,head,needle_mass,value_mass,total_mass,sink_mass,lift,entropy,argmax_position,\
         answer_needle_mass,answer_value_mass,answer_total_mass,answer_sink_mass,passed_keys,passed_share,zero_share,\
         effective_window,output_gate,gated_needle_mass,needle_score,score_margin,score_margin_mean,inverse_scale,\
         answer_needle_score,answer_score_margin,answer_score_margin_mean\n"
    );
    assert_eq!(header::<TokenRow>(), "run_id,row_id,position,token,mass_mean,mass_top_head\n");
    assert_eq!(
        header::<BucketLoss>(),
        "position_start,position_end,n_tokens,n_texts,loss_mean,loss_ci_low,loss_ci_high\n"
    );
    assert_eq!(
        text(&[outcome(1024, 0.0, 0, true, None)]).unwrap().lines().next(),
        header::<Outcome>().lines().next()
    );
}

#[test]
fn a_table_of_an_earlier_version_is_read_without_the_columns_that_it_lacks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("results.csv");
    let rows = [outcome(1024, 0.0, 0, true, Some(0.5)), outcome(1024, 50.0, 0, false, Some(0.25))];
    let rows = rows.map(|row| Outcome { needle_excess_top: None, control_excess_top: None, ..row });
    let cut = |line: &str| {
        let added = Outcome::ADDED.iter().map(|name| format!(",{name}")).collect::<String>();
        let kept = line.strip_suffix(&added).or(line.strip_suffix(&",".repeat(Outcome::ADDED.len())));
        format!("{}\n", kept.unwrap_or_else(|| panic!("{line}")))
    };
    let old: String = text(&rows).unwrap().lines().map(cut).collect();
    fs::write(&path, &old).unwrap();
    assert_eq!(read::<Outcome>(&path).unwrap(), rows);
    assert!(is_changed::<Outcome>(&path).unwrap(), "it is written anew before it is continued");
    fs::write(&path, old.replacen(",status", "", 1)).unwrap();
    assert!(read::<Outcome>(&path).unwrap_err().to_string().contains("missing status"));
}

#[test]
fn columns_of_text_are_columns() {
    fn check<R: Row>() {
        let columns = columns::<R>();
        for name in R::TEXT {
            assert!(columns.iter().any(|column| column == name), "{name}");
        }
    }
    check::<Outcome>();
    check::<AttentionRow>();
    check::<TokenRow>();
    check::<BucketLoss>();
}

#[test]
fn hostile_texts_and_extreme_numbers_come_back_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("results.csv");
    let empty_answer = Outcome { model_response: Some(String::new()), ..hostile() };
    let outcomes = [hostile(), empty_answer, failed(2048, 0.0, 1)];
    let mut table = Appender::open(&path).unwrap();
    for outcome in &outcomes {
        table.append(std::slice::from_ref(outcome)).unwrap();
    }
    assert_eq!(read::<Outcome>(&path).unwrap(), outcomes);
}

#[test]
fn a_row_is_a_line_whatever_its_texts_hold() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("results.csv");
    let windows = Outcome { model: "C:\\new\\runs".into(), ..outcome(1024, 0.0, 0, true, None) };
    let rows = [hostile(), windows, outcome(1024, 100.0, 0, true, None)];
    Appender::open(&path).unwrap().append(&rows).unwrap();
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written.lines().count(), 1 + rows.len(), "{written}");
    assert!(!written.contains('\r') && written.contains(",C:\\\\new\\\\runs,"), "{written}");
    assert_eq!(text(&rows).unwrap(), written);
    assert_eq!(read::<Outcome>(&path).unwrap(), rows);
}

#[test]
fn line_ends_that_another_program_put_between_quotes_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.csv");
    let header = header::<TokenRow>();
    std::fs::write(&path, format!("{header}r,1:0:0,0,\"a\nb\",0.5,0.5\nr,1:0:0,1,c\\d,0.5,0.5\n")).unwrap();
    let tokens: Vec<String> = read::<TokenRow>(&path).unwrap().into_iter().map(|row| row.token).collect();
    assert_eq!(tokens, ["a\nb", "c\\d"]);
}

#[test]
fn a_table_torn_at_any_byte_keeps_every_whole_record_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.csv");
    let row = |position| TokenRow {
        run_id: "run".into(),
        row_id: "1:2:3".into(),
        position,
        token: "\n\"\",\r\n\"".into(),
        mass_mean: 0.5,
        mass_top_head: 0.25,
    };
    let size = || std::fs::metadata(&path).unwrap().len();
    let mut table = Appender::open(&path).unwrap();
    let mut ends = vec![size()];
    for position in 0..2 {
        table.append(&[row(position)]).unwrap();
        ends.push(size());
    }
    drop(table);
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let complete = ends.iter().filter(|&&end| end <= cut as u64).count();
        let kept = if complete == 0 { 0 } else { ends[complete - 1] };
        let records = complete.saturating_sub(1);
        assert_eq!(read::<TokenRow>(&path).unwrap().len(), records, "read, cut at {cut}");
        let mut table = Appender::open(&path).unwrap();
        assert_eq!(table.dropped_bytes(), cut as u64 - kept, "cut at {cut}");
        table.append(&[row(9)]).unwrap();
        drop(table);
        let positions: Vec<_> = read::<TokenRow>(&path).unwrap().iter().map(|row| row.position).collect();
        assert_eq!(positions, (0..records).chain([9]).collect::<Vec<_>>(), "cut at {cut}");
    }
}

#[test]
fn other_columns_are_named_and_the_file_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.csv");
    for (header, difference) in [
        ("run_id,row_id,position,token,mass_mean\n", "missing mass_top_head"),
        ("run_id,row_id,position,text,mass_mean,mass_top_head\n", "missing token; unknown text"),
        ("run_id;row_id;position;token;mass_mean;mass_top_head\n", "separated by semicolons"),
    ] {
        std::fs::write(&path, header.to_string() + "torn").unwrap();
        for error in [Appender::<TokenRow>::open(&path).unwrap_err(), read::<TokenRow>(&path).unwrap_err()] {
            assert!(matches!(error, Error::Columns { .. }));
            assert!(error.to_string().contains(difference), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), header.to_string() + "torn");
    }
}

#[test]
fn a_row_that_cannot_be_understood_is_named_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.csv");
    let header = columns::<TokenRow>().join(",");
    for (line, expected) in [
        ("r,1:0:0,x,b,0,0", "line 4: column position: found \"x\": invalid digit"),
        ("r,1:0:0,1,b,0", "line 4: 5 fields instead of 6"),
        ("r,1:0:0,1,b,,0", "line 4: column mass_mean: found \"\": "),
        ("r,1:0:0,\"1,024\",b,0,0", "line 4: column position: found \"1,024\": invalid digit"),
        ("r,1:00:00,1,b,0,0", "line 4: row_id is \"1:00:00\""),
    ] {
        std::fs::write(&path, format!("{header}\nr,1:0:0,1,\"\n\",0,0\n{line}\n")).unwrap();
        let error = read::<TokenRow>(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("tokens.csv"), "{error}");
    }
}

/// `results.csv` with the row of a trial that ran and that of one that did not.
fn written(path: &Path) -> (Vec<Outcome>, String) {
    let rows = vec![outcome(1024, 12.5, 0, true, Some(0.25)), failed(1024, 50.0, 1)];
    Appender::open(path).unwrap().append(&rows).unwrap();
    (rows, std::fs::read_to_string(path).unwrap())
}

#[test]
fn a_table_that_another_program_saved_without_loss_is_the_same_and_is_written_anew_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("results.csv");
    let (rows, text) = written(&path);
    let records = |text: &str| -> Vec<StringRecord> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        reader.records().collect::<csv::Result<_>>().unwrap()
    };
    let changed = |change: &dyn Fn(usize, &mut Vec<String>)| {
        let lines = records(&text).into_iter().enumerate().map(|(line, record)| {
            let mut fields: Vec<String> = record.iter().map(String::from).collect();
            change(line, &mut fields);
            let quoted = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\"")));
            quoted.collect::<Vec<_>>().join(",") + "\r\n"
        });
        lines.collect::<String>()
    };
    let place = |name: &str| columns::<Outcome>().iter().position(|column| *column == name).unwrap();
    for saved in [
        format!("\u{feff}{text}"),
        text.replace('\n', "\r\n"),
        format!("{text}{}\n", ",".repeat(columns::<Outcome>().len() - 1)),
        changed(&|_, _| ()),
        changed(&|_, fields| fields.rotate_left(5)),
        changed(&|line, fields| fields.insert(0, if line == 0 { String::new() } else { line.to_string() })),
        changed(&|line, fields| {
            let missing = fields[place("prompt_tokens")].is_empty();
            for name in ["prompt_tokens", "needle_start", "answer_rank", "trial"]
                .iter()
                .filter(|_| line > 0 && !missing)
            {
                fields[place(name)] += ".0";
            }
            let mut set = |name: &str, from: &str, to: &str| {
                let field = &mut fields[place(name)];
                if field == from {
                    *field = to.to_string()
                }
            };
            set("correct", "true", "True");
            set("needle_mass_top", "", "NaN");
            set("score", "1.0", "1");
        }),
    ] {
        std::fs::write(&path, &saved).unwrap();
        assert_eq!(read::<Outcome>(&path).unwrap(), rows, "{saved}");
        assert!(
            is_changed::<Outcome>(&path).unwrap() || saved.starts_with(text.lines().next().unwrap()),
            "{saved}"
        );
    }
}

#[test]
fn a_table_that_a_spreadsheet_damaged_is_refused_and_the_change_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("results.csv");
    let (_, text) = written(&path);
    for (from, to, problem) in [
        ("1024:12.5:0,7", "1024:12:05,7", "row_id is \"1024:12:05\""),
        ("1024:12.5:0,7", "1023:12.5:0,7", "not that of its length and trial"),
        (",1024,12.5,", ",\"1,024\",12.5,", "column context_length: found \"1,024\""),
        (",1234567,1234567,", ",1.23457E+06,1234567,", "expected_answer is \"1.23457E+06\""),
        (
            ",abc,",
            ",0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef,",
            "does not begin config_hash",
        ),
    ] {
        let damaged = text.replacen(from, to, 1);
        assert_ne!(damaged, text, "{from}");
        std::fs::write(&path, damaged).unwrap();
        let error = read::<Outcome>(&path).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("line 2"), "{problem} in {error}");
    }
    std::fs::write(&path, text.replace('\n', "\r")).unwrap();
    assert!(read::<Outcome>(&path).unwrap_err().to_string().contains("carriage returns"));
}

#[test]
fn the_rows_of_one_trial_are_appended_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("attention.csv");
    let rows: Vec<_> = (0..4).map(attention).collect();
    let mut table = Appender::open(&path).unwrap();
    table.append(&rows).unwrap();
    table.append(&[]).unwrap();
    assert_eq!(read::<AttentionRow>(&path).unwrap(), rows);
}

#[test]
fn a_row_that_nobody_could_read_again_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("results.csv");
    let good = outcome(1024, 50.0, 0, true, None);
    let long = |bytes: usize| Outcome { model_response: Some("y".repeat(bytes)), ..good.clone() };
    let mut table = Appender::open(&path).unwrap();
    table.append(std::slice::from_ref(&good)).unwrap();
    let error = table.append(&[good.clone(), long(17 << 20)]).unwrap_err();
    assert!(matches!(error, Error::Output { .. }), "{error}");
    let words = format!("results.csv: row {}: column model_response has 17 MiB, and no row of", good.row_id);
    assert!(error.to_string().contains(&words), "{error}");
    // The longest that is written is read.
    let rest = to_csv(&[long(0)]).unwrap().len();
    let most = usize::try_from(limits::LONGEST_RECORD).unwrap();
    assert!(table.append(&[long(most - rest + 1)]).is_err());
    let longest = long(most - rest);
    table.append(std::slice::from_ref(&longest)).unwrap();
    table.append(std::slice::from_ref(&good)).unwrap();
    assert_eq!(read::<Outcome>(&path).unwrap(), [good.clone(), longest, good]);
}

#[test]
fn a_table_that_is_read_into_memory_grows_no_larger_than_what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut table = Appender::open(dir.path().join("results.csv")).unwrap();
    table.len = limits::MOST_IN_MEMORY;
    let error = table.append(&[hostile()]).unwrap_err().to_string();
    assert!(error.contains("it would have 513 MiB, more than the 512 MiB that are read; what is"), "{error}");
    // Rows that are read one by one may be as many as the disk holds.
    let mut table = Appender::open(dir.path().join("attention.csv")).unwrap();
    table.len = limits::MOST_IN_MEMORY;
    table.append(&[attention(0)]).unwrap();
}

#[test]
fn a_record_that_is_too_long_to_be_read_is_named_by_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("results.csv");
    let rows = [outcome(1024, 50.0, 0, true, None), outcome(1024, 50.0, 1, true, None)];
    let long = "y".repeat(17 << 20);
    let [first, second] =
        rows.each_ref().map(|row| String::from_utf8(to_csv(std::slice::from_ref(row)).unwrap()).unwrap());
    fs::write(&path, format!("{}{first}{long}\n{second}", header::<Outcome>())).unwrap();
    let words = "line 3: a row of more than 16 MiB; delete the line to have its trial run again";
    for error in [read::<Outcome>(&path).unwrap_err(), Appender::<Outcome>::open(&path).unwrap_err()] {
        assert!(error.to_string().ends_with(words), "{error}");
    }
    let text = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> =
        text.split_inclusive('\n').enumerate().filter(|(at, _)| *at != 2).map(|(_, l)| l).collect();
    fs::write(&path, kept.concat()).unwrap();
    assert_eq!(read::<Outcome>(&path).unwrap(), rows);
}

#[test]
fn a_second_writer_is_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens.csv");
    let first = Appender::<TokenRow>::open(&path).unwrap();
    let error = Appender::<TokenRow>::open(&path).unwrap_err().to_string();
    assert!(error.contains("another run is writing"), "{error}");
    drop(first);
    Appender::<TokenRow>::open(&path).unwrap();
}

/// A disk with `room` bytes left.
struct Disk {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room - self.bytes.len());
        self.bytes.extend(&bytes[..taken]);
        if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Storage for Disk {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.bytes.truncate(len as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_keeps_whole_records_and_lets_the_next_one_follow() {
    let (mut disk, mut len) = (Disk { bytes: Vec::new(), room: 10 }, 0);
    write_whole(&mut disk, &mut len, b"one,two\n").unwrap();
    let error = write_whole(&mut disk, &mut len, b"three,four\n").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!((disk.bytes.as_slice(), len), (&b"one,two\n"[..], 8));
    disk.room = 100;
    write_whole(&mut disk, &mut len, b"five\n").unwrap();
    assert_eq!((disk.bytes.as_slice(), len), (&b"one,two\nfive\n"[..], 13));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_token_row_comes_back_exactly(
        tokens in proptest::collection::vec((any::<String>(), "[\"\r\n\\\\,=\0 an]{0,6}", any::<f64>(), any::<usize>()), 1..8),
    ) {
        let rows: Vec<_> = tokens
            .into_iter()
            .map(|(run_id, token, mass, position)| TokenRow {
                run_id, row_id: format!("{position}:12.5:0"), position, token, mass_mean: mass, mass_top_head: -mass,
            })
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.csv");
        Appender::open(&path).unwrap().append(&rows).unwrap();
        prop_assert_eq!(read::<TokenRow>(&path).unwrap(), rows);
    }
}
