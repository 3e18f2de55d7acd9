//! Words that tasks draw from. No word is part of another list's word with a hyphen, and none comes twice.

/// Adjectives, for keys.
#[rustfmt::skip] // a word a line would hide the list
pub(super) const ADJECTIVES: &[&str] = &[
    "able", "amber", "ancient", "arid", "azure", "balmy", "barren", "bitter", "blunt", "bold", "brave",
    "breezy", "brisk", "broad", "calm", "candid", "careful", "cheerful", "chilly", "civic", "clever",
    "cloudy", "coarse", "cosmic", "cosy", "crimson", "crisp", "curious", "damp", "daring", "dense", "dim",
    "distant", "dreamy", "dusty", "eager", "early", "earnest", "elegant", "empty", "equal", "exact", "faint",
    "fancy", "fertile", "fierce", "flat", "fleet", "fluent", "foggy", "formal", "fragile", "frank", "fresh",
    "frosty", "frugal", "gentle", "giant", "glad", "gloomy", "golden", "grand", "grateful", "gritty", "hardy",
    "hasty", "hazy", "heavy", "hidden", "hollow", "honest", "humble", "icy", "idle", "jolly", "keen", "kind",
    "large", "lavish", "lazy", "light", "lively", "lofty", "lonely", "loyal", "lucid", "lunar", "mellow",
    "merry", "mighty", "mild", "misty", "modest", "mossy", "muddy", "narrow", "neat", "nimble", "noble",
    "novel", "oblong", "odd", "opaque", "orderly", "pale", "patient", "plain", "pleasant", "polite", "proud",
    "pure", "quaint", "quick", "quiet", "rapid", "rare", "ready", "remote", "rigid", "robust", "rosy",
    "rough", "rural", "rustic", "sandy", "scarlet", "serene", "shady", "sharp", "shiny", "shy", "silent",
    "silver", "simple", "sleepy", "slender", "slim", "smooth", "snowy", "sober", "solar", "solemn", "solid",
    "sour", "spare", "spicy", "stable", "stark", "steady", "steep", "stern", "sturdy", "subtle", "sunny",
    "supple", "swift", "tall", "tame", "tangy", "tender", "tepid", "terse", "thick", "thorny", "tidy", "tiny",
    "tranquil", "upbeat", "upright", "urban", "useful", "vague", "vast", "velvet", "vivid", "warm", "wary",
    "weary", "wild", "windy", "wise", "witty", "wooden", "young", "zealous",
];

/// Nouns, for keys and for lists of words.
#[rustfmt::skip] // a word a line would hide the list
pub(super) const NOUNS: &[&str] = &[
    "acorn", "album", "alley", "almond", "anvil", "apron", "arch", "arrow", "attic", "autumn", "badge",
    "badger", "bagpipe", "balcony", "bamboo", "banjo", "banner", "barge", "basin", "bazaar", "beacon", "beaver",
    "bench", "berry", "bishop", "blanket", "blossom", "bonfire", "bottle", "boulder", "bracket", "branch",
    "brick", "bridge", "bronze", "brook", "bucket", "buckle", "button", "cabin", "cactus", "camera", "canal",
    "candle", "canoe", "canyon", "carpet", "cartoon", "castle", "cedar", "cellar", "chapel", "cherry",
    "chimney", "circus", "citrus", "clay", "cliff", "clover", "cobbler", "cobweb", "comet", "compass",
    "copper", "coral", "cottage", "cotton", "cradle", "crater", "cricket", "crystal", "cupboard", "curtain",
    "cushion", "cymbal", "dagger", "daisy", "desert", "dolphin", "domino", "donkey", "dragon", "drawer",
    "driftwood", "drum", "dune", "eagle", "easel", "echo", "eclipse", "elbow", "ember", "engine", "envelope",
    "falcon", "feather", "ferry", "fiddle", "finch", "flannel", "flute", "forest", "fossil", "fountain",
    "fox", "frigate", "galaxy", "garlic", "garnet", "geyser", "ginger", "glacier", "goblet", "gorge",
    "granite", "grove", "guitar", "gutter", "hammer", "harbour", "harp", "hatchet", "hawk", "hazel", "hearth",
    "helmet", "heron", "hill", "honey", "hornet", "iceberg", "inkwell", "iris", "island", "ivory", "jacket",
    "jasmine", "jigsaw", "juniper", "kayak", "kennel", "kernel", "kite", "kitten", "ladle", "lagoon",
    "lantern", "latch", "lattice", "laurel", "lemon", "lentil", "lily", "lizard", "locket", "lotus", "lumber",
    "magnet", "magpie", "mallet", "maple", "marble", "market", "marsh", "mast", "meadow", "medal", "melon",
    "mirror", "mitten", "monsoon", "mortar", "mosaic", "moth", "mountain", "mulberry", "muslin", "mustard",
    "napkin", "needle", "nettle", "nutmeg", "oak", "oasis", "oatmeal", "ocean", "olive", "onion", "opal",
    "orchard", "orchid", "otter", "oven", "oyster", "paddock", "palace", "papaya", "parade", "parrot",
    "pasture", "peacock", "pebble", "pelican", "pencil", "pepper", "piano", "pigeon", "pillow", "pine",
    "planet", "plough", "plum", "pocket", "pond", "poppy", "prairie", "prism", "pumpkin", "puzzle", "pyramid",
    "quarry", "quartz", "quilt", "rabbit", "raft", "rainbow", "raven", "reef", "ribbon", "river", "robin",
    "rocket", "rudder", "saddle", "saffron", "sandal", "sapphire", "satchel", "saucer", "scarf", "sculpture",
    "shawl", "shelter", "shovel", "shuttle", "sickle", "sketch", "sledge", "sparrow", "spindle", "spiral",
    "spruce", "squirrel", "statue", "stirrup", "stove", "summit", "sundial", "swallow", "tablet", "tambourine",
    "tapestry", "teapot", "temple", "thicket", "thimble", "thistle", "thunder", "timber", "toast", "tortoise",
    "tower", "tractor", "trumpet", "tulip", "tunnel", "turnip", "turtle", "valley", "vase", "velour", "village",
    "vine", "violet", "violin", "volcano", "waffle", "wagon", "walnut", "walrus", "waterfall", "wharf",
    "wheat", "whistle", "willow", "window", "winter", "wizard", "zebra", "zeppelin",
];

/// First names, in no haystack.
#[rustfmt::skip] // a name a line would hide the list
pub(super) const NAMES: &[&str] = &[
    "Abdulrahman", "Adelheid", "Aisling", "Akinyi", "Aleksandra", "Amparo", "Anneliese", "Apolline", "Arvid",
    "Ayodele", "Bartholomew", "Benedikt", "Birgitta", "Caoimhe", "Casimir", "Chidi", "Cosima", "Dagmar",
    "Deepika", "Dragana", "Eilidh", "Emeka", "Eszter", "Evangelos", "Faustina", "Folasade", "Gaspard",
    "Ghislaine", "Giuseppina", "Gudrun", "Hadiza", "Hildegard", "Hiroko", "Ignatius", "Ikenna", "Iolanthe",
    "Jadwiga", "Jeroen", "Kateryna", "Kwabena", "Leocadia", "Ljubica", "Maarten", "Mahalia", "Maximilian",
    "Mireille", "Ngozi", "Octavio", "Oluwaseun", "Ottoline", "Parvati", "Philippa", "Radoslav", "Renske",
    "Saoirse", "Seraphina", "Shanthi", "Siobhan", "Sunniva", "Svetlana", "Takumi", "Thandiwe", "Torvald",
    "Uchenna", "Umberto", "Vasilisa", "Wendelin", "Xiomara", "Yevgenia", "Zbigniew",
];

/// Family names, for a phone book.
#[rustfmt::skip] // a name a line would hide the list
pub(super) const SURNAMES: &[&str] = &[
    "Achterberg", "Adeyemi", "Alvarado", "Andersson", "Bachmann", "Balogun", "Baranski", "Bellweather",
    "Bianchi", "Bjornstad", "Brennan", "Carvalho", "Chaudhry", "Christensen", "Cunningham", "Dalgaard",
    "Devereux", "Dimitrov", "Donnelly", "Ekwueme", "Engstrom", "Esposito", "Ferreira", "Fitzgerald", "Fukuda",
    "Gallagher", "Georgiou", "Gonzaga", "Gustafsson", "Halvorsen", "Hashimoto", "Hernandez", "Holloway",
    "Horvath", "Iglesias", "Ivanova", "Jankowski", "Johansen", "Kaminski", "Karlsson", "Kavanagh", "Kirchner",
    "Kobayashi", "Kruger", "Lefebvre", "Lombardi", "Lundgren", "MacAllister", "Maldonado", "Matsumoto",
    "McIntyre", "Mendoza", "Mikkelsen", "Montague", "Mukherjee", "Navarro", "Nielsen", "Nowicki", "Obafemi",
    "Olufsen", "Papadakis", "Pedersen", "Petrovic", "Quintana", "Raghavan", "Rasmussen", "Rodrigues",
    "Sakamoto", "Schneider", "Shevchenko", "Silveira", "Stefansson", "Takahashi", "Thorvaldsen", "Tremblay",
    "Vandenberg", "Vasquez", "Villanueva", "Wojciechowski", "Yamaguchi", "Zimmermann",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_word_comes_twice_and_none_is_in_two_lists() {
        let all: Vec<_> = [ADJECTIVES, NOUNS, NAMES, SURNAMES].concat();
        let different: BTreeSet<_> = all.iter().map(|word| word.to_lowercase()).collect();
        assert_eq!(all.len(), different.len());
        assert!(ADJECTIVES.len() > 150 && NOUNS.len() > 280 && NAMES.len() >= 70 && SURNAMES.len() >= 80);
        assert!([ADJECTIVES, NOUNS].concat().iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase())));
    }
}
