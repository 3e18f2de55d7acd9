use super::*;

/// Texts in which the value stands free, and texts in which it does not.
#[rustfmt::skip] // one value a line
const CASES: &[(&str, &[&str], &[&str])] = &[
    ("12345", &["12345", "**12345**.", "It is:12345", "(12345)", "912345 or 12345", "12345\n", "_12345_", "'12345'", "12345.", "12345,"],
              &["9123456", "12345th", "x12345", "123456", "12345é", "１12345", "12345²", "1 2345", "12346", ""]),
    // Numbers in other writing.
    ("7743219", &["7,743,219", "7'743'219", "7’743’219", "7.743.219", "7_743_219", "7 743 219", "7\u{A0}743\u{A0}219",
                  "7\u{202F}743\u{202F}219", "7\u{2009}743\u{2009}219", "７７４３２１９", "７，７４３，２１９", "٧٧٤٣٢١٩", "٧٬٧٤٣٬٢١٩", "۷۷۴۳۲۱۹",
                  "७७४३२१९", "๗๗๔๓๒๑๙", "𝟕𝟕𝟒𝟑𝟐𝟏𝟗", "77\u{200B}43\u{AD}219", "$7,743,219.", "7,743,219, 1,000,000", "1111111,7743219,3333333",
                  "1111111,7743219", "=7743219;", "7743219%", "~7743219", "12:7743219", "+7743219", "number—7743219", "1-7743219"],
                &["17743219", "77432190", "17,743,219", "7,743,2190", "7,743,219,000", "7743219.5", "7,743,219.5", "7743219,5", "7743219,50",
                  "0.7743219", "3.7743219", "-7743219", "−7743219", "(-7743219)", "–7743219", "±7743219", "7743219万", "7743219e3", "7743219k",
                  "7 743 21", "7.743219", "77.43.219", "7, 743, 219", "7743,219", "7 743 2190", "7\n743\n219", "7743 219", "7,743 219", "774321"]),
    ("219", &["219", "7743 219", "219, 743", "743,21 219", "219.", "#219", "100 219 300"], &["7,743,219", "743,219", "7'743'219", "7\u{A0}743\u{A0}219", "219,743", "0.219", "1219"]),
    ("5", &["5", "5 goals", "3-5", "x-5", "5-7", "- 5", "5/7", "5:30", "1, 5, 7", "5,7,9", "5. Then", "...5", "No.5", "5...", "5、7", "5，7", "第5回", "5つ", "5%", "(5)-5", "—5"],
          &["1956", "5.5", ".5", "5.0", "5,5", "3,5", "-5", "(-5)", "是-5", "5th", "5e3", "5½", "五", "5万", "万5", "55", "5,000", "5.000.000", "±5", "−5", " –5"]),
    ("-5", &["-5", "It is -5.", "(-5)", "−5", "‑5", "–5", "=-5", "是-5。", "**-5**"], &["5", "3-5", "x-5", "-55", "-5.5", "(3)-5", "--5"]),
    ("3.14", &["3.14", "It is 3.14.", "(3.14)", "３．１４", "٣٫١٤", "3.14, 2.71"], &["3.141", "13.14", "3,14", "314", "3.14.15", "-3.14", "3.140", "0.3.14"]),
    (".5", &[".5", "is .5"], &["0.5", "5", ".55"]),
    ("1,234", &["1234", "1,234", "1 234"], &["1.234", "11,234", "1,2345", "234"]),
    ("1.234", &["1.234"], &["1,234", "1234"]),
    ("B-12", &["b-12", "B‑12", "The B–12."], &["B-123", "AB-12", "B12", "B 12"]),
    // Letters, marks and forms of them.
    ("red", &["The secret is red.", "RED", "red-hot", "'red'", "r\u{AD}ed", "ｒｅｄ"],
            &["Fred", "preferred", "reds", "re", "redé", "re\u{301}d", "red\u{301}", "red1", "r ed"]),
    ("Café", &["Café", "Cafe\u{301}", "CAFÉ.", "CAFE\u{301}"], &["Cafe", "Cafés", "Cafe\u{300}"]),
    ("Cafe", &["cafe"], &["Café", "Cafe\u{301}"]),
    ("ệ", &["ệ", "e\u{323}\u{302}", "e\u{302}\u{323}", "ê\u{323}"], &["ê", "ẹ", "e"]),
    ("محمد", &["محمـد", "هو محمد."], &["محمدي", "ومحمد"]),
    ("Henry IV", &["Henry Ⅳ", "henry iv"], &["Henry Ⅵ", "Henry IVth"]),
    ("25°C", &["25℃", "25°c"], &["125℃", "25℉"]),
    ("ヒ", &["ﾋ", "ヒは"], &["ﾋﾟ", "ピ", "ﾋﾟｱﾉ"]),
    ("Straße", &["STRASSE", "straße", "Strasse"], &["Straßen", "Stras"]),
    ("Ὀδυσσεύς", &["ὈΔΥΣΣΕΎΣ", "Ὀδυσσεύς"], &["Ὀδυσσεύ"]),
    ("Äpfel", &["äpfel", "A\u{308}pfel"], &["Apfel"]),
    ("file", &["ﬁle", "𝐟𝐢𝐥𝐞"], &["ﬁles", "le", "profile"]),
    ("İstanbul", &["İstanbul", "İstanbul'da", "i\u{307}stanbul"], &["Istanbul"]),
    // Between words.
    ("Dolores Park", &["Dolores\nPark", "Dolores  Park", "Dolores\r\n\tPark", "Dolores\u{A0}Park", "dolores\u{3000}park", "Dolores Park's"],
                     &["DoloresPark", "Dolores, Park", "Dolores Parks", "Dolores"]),
    ("it's fine", &["it’s fine", "It's  fine", "itʼs fine", "it´s fine"], &["its fine", "it s fine"]),
    ("\"no\"", &["“no”", "„no“", "«no»", "\"NO\""], &["no"]),
    ("well-known", &["well‑known", "well–known", "WELL-KNOWN"], &["well known", "wellknown", "unwell-known"]),
    ("Well…", &["Well...", "well…"], &["Well"]),
    ("can", &["can", "can 't"], &["can't", "can’t", "scan"]),
    ("t", &["t", "a 't'"], &["can't"]),
    ("we", &["we", "we's"], &["we're", "we’ve", "we'll", "we'd"]),
    ("Maud", &["Maud's", "Maud’s", "Mauds' Maud"], &["Mauds"]),
    ("Roma", &["l'Roma", "dell’Roma"], &["Aroma"]),
    ("C++", &["C++", "C++11", "c++."], &["C+", "AC++"]),
    ("1 1", &["11 1 1", "1 1"], &["11 1", "1 11"]),
    // Scripts without spaces between words.
    ("7743219", &["秘密数字是7743219。", "秘密の番号は7743219です。", "비밀 번호는 7743219입니다.", "รหัสลับคือ7743219ครับ", "លេខ7743219។", "ລະຫັດ7743219ແມ່ນ", "ကုဒ်7743219ဖြစ်", "７７４３２１９です"],
                &["是17743219。", "の77432190です", "是7743219万"]),
    ("ピアノ", &["答えはピアノです。", "ﾋﾟｱﾉ", "ピアノ", "グランド・ピアノ"], &["ピアノフォルテ", "グランドピアノ", "ピア", "ヒアノ"]),
    ("東京", &["答えは東京です", "在東京都"], &["東", "京"]),
    ("五", &["五", "是五。"], &["十五", "五百"]),
    ("서울", &["서울", "서울입니다", "서울은", "답: 서울.", "\u{1109}\u{1165}\u{110B}\u{116E}\u{11AF}"], &["남서울", "서우", "서울\u{11A8}"]),
    ("가", &["가", "\u{1100}\u{1161}", "가나"], &["각", "\u{1100}\u{1161}\u{11A8}", "나가"]),
    ("แมว", &["นี่คือแมวครับ", "แมว"], &["แม", "แมวิ", "แมวา"]),
    ("กา", &["กา", "เป็นกาดำ"], &["ก", "กาำ", "เกา"]),
    ("ក", &["ក", "កខ"], &["ក្ខ", "កា", "ខ្ក"]),
    ("क", &["क"], &["कि", "क्ष", "कम"]),
];

#[test]
fn values_stand_free_where_they_are_words_or_numbers_of_their_own() {
    for (value, free, not_free) in CASES {
        for text in free.iter() {
            assert!(stands_free(text, value), "{value:?} stands free in {text:?}");
            assert!(is_contained(text, value), "{value:?} is in {text:?}");
        }
        for text in *not_free {
            assert!(!stands_free(text, value), "{value:?} does not stand free in {text:?}");
        }
    }
}

#[test]
fn places_are_the_bytes_of_the_text_as_it_is_written() {
    let written = |text: &'static str, value| -> Vec<&str> {
        occurrences(text, value).into_iter().map(|bytes| &text[bytes]).collect()
    };
    assert_eq!(written("12 123 312 (12) 12.", "12"), ["12", "12", "12"]);
    assert_eq!(written("cat, concat, cats. CAT", "cat"), ["cat", "CAT"]);
    assert_eq!(written("答えはピアノです。ピアノ", "ピアノ"), ["ピアノ", "ピアノ"]);
    assert_eq!(written("It is 7,743,219.", "7743219"), ["7,743,219"]);
    assert_eq!(written("Un Cafe\u{301} noir", "café"), ["Cafe\u{301}"]);
    assert_eq!(written("in Dolores \n Park today", "Dolores Park"), ["Dolores \n Park"]);
    assert_eq!(written("Fred says the secret is red.", "red"), ["red"]);
    assert_eq!(written("x red\u{AD} y", " red "), ["red"]);
}

#[test]
fn what_is_blank_or_not_seen_stands_nowhere() {
    for value in ["", " ", "\n", "\u{AD}", "\u{200B}\u{FEFF}"] {
        assert!(
            !stands_free("a b", value) && !is_contained("a b", value) && !stands_free(value, value),
            "{value:?}"
        );
    }
}

#[test]
fn a_value_is_contained_whatever_touches_it() {
    for (text, value) in
        [("xAB12y", "ab12"), ("17,743,219", "7743219"), ("Cafe\u{301}s", "café"), ("Fred", "red")]
    {
        assert!(is_contained(text, value) && !stands_free(text, value), "{value} in {text}");
    }
    assert!(!is_contained("Cafés", "cafe") && !is_contained("774321", "7743219"));
}

#[test]
fn marks_without_end_are_one_character() {
    let text = format!("a{}", "\u{301}\u{323}".repeat(50_000));
    assert!(!stands_free(&text, "a"));
    assert_eq!(occurrences(&text, &text).len(), 1);
}
