//! The words of the synthetic haystack. Every list fits every slot that draws from it, in the past tense and
//! in the third person, so that each sentence is grammatical whatever is drawn.

/// What one paragraph is about.
pub(super) struct Topic {
    /// Who works there, with an article.
    pub(super) roles: &'static [&'static str],
    /// Things a person can handle, with a regular plural in `s`.
    pub(super) objects: &'static [&'static str],
    /// Where things happen, with a preposition.
    pub(super) places: &'static [&'static str],
    /// Whole clauses that tell what else happened.
    pub(super) events: &'static [&'static str],
}

pub(super) const TOPICS: &[Topic] = &[
    Topic {
        roles: &[
            "the harbour master", "the ferryman", "the net maker", "the lighthouse keeper", "the pilot",
            "the customs officer", "the shipwright", "the cook of the ferry",
        ],
        objects: &[
            "rope", "lantern", "anchor", "fishing net", "sail", "oar", "barrel", "chart", "sextant", "bell",
            "crate", "buoy", "signal flag", "pulley", "paddle", "hammock",
        ],
        places: &[
            "on the quay", "beside the slipway", "behind the fish market", "below the lighthouse",
            "near the old pier", "in the boathouse", "along the breakwater", "under the harbour wall",
            "at the end of the jetty", "in the customs shed",
        ],
        events: &[
            "the tide turned early", "a grey seal followed the boats", "the fog lifted from the bay",
            "two trawlers came home late", "the gulls gathered over the nets",
            "the ferry waited for the mail", "the wind went round to the north",
            "the lamps were lit along the pier",
        ],
    },
    Topic {
        roles: &[
            "the head gardener", "the orchard keeper", "the seed merchant", "the beekeeper", "the botanist",
            "the hired hand", "the owner of the nursery", "the florist",
        ],
        objects: &[
            "watering can", "wheelbarrow", "basket", "spade", "flower pot", "ladder", "hedge cutter",
            "garden chair", "beehive", "seed tray", "rake", "sundial", "bird bath", "garden gate",
            "apple crate", "trellis pole",
        ],
        places: &[
            "in the orchard", "behind the glasshouse", "under the pear trees", "beside the herb beds",
            "along the gravel path", "near the compost heap", "in the walled garden", "by the kitchen door",
            "at the edge of the meadow", "next to the pond",
        ],
        events: &[
            "the first plums ripened", "the frost spared the blossom", "the bees swarmed at noon",
            "a hedgehog moved into the shed", "the roses opened all at once",
            "the pond froze to the bottom", "rain filled every barrel", "the swallows came back",
        ],
    },
    Topic {
        roles: &[
            "the clockmaker", "the apprentice", "the joiner", "the locksmith", "the instrument builder",
            "the bookbinder", "the glazier", "the saddler",
        ],
        objects: &[
            "hammer", "chisel", "workbench", "cabinet", "clock", "drawer", "hinge", "lock", "violin",
            "picture frame", "tool chest", "vice", "saw", "spring", "brass plate", "music stand",
        ],
        places: &[
            "in the workshop", "at the back of the yard", "under the skylight", "beside the stove",
            "next to the lathe", "on the upper floor", "behind the timber stack", "near the grinding wheel",
            "by the wide window", "in the varnish room",
        ],
        events: &[
            "the glue dried too fast", "the lathe began to hum", "a customer waited at the counter",
            "the oak arrived by cart", "sawdust covered the floor", "the stove went out",
            "the order book filled up", "a spring snapped with a bang",
        ],
    },
    Topic {
        roles: &[
            "the librarian", "the archivist", "the night porter", "the translator", "the student of law",
            "the map curator", "the copyist", "the retired schoolteacher",
        ],
        objects: &[
            "almanac", "manuscript", "ledger", "bookcase", "index card", "letter", "reading lamp",
            "newspaper", "notebook", "catalogue", "map", "desk", "pamphlet", "scroll", "ink bottle",
            "magnifier",
        ],
        places: &[
            "in the reading room", "on the third shelf", "behind the main desk", "in the basement archive",
            "beside the card catalogue", "under the gallery", "near the tall windows", "at the long table",
            "in the map room", "by the spiral stairs",
        ],
        events: &[
            "the heating failed again", "the clock in the hall stopped", "a school class arrived",
            "the loan register went missing", "dust drifted through the light", "the donors came to visit",
            "the roof leaked over the poetry", "the readers left one by one",
        ],
    },
    Topic {
        roles: &[
            "the stationmaster", "the conductor", "the signalman", "the engine driver", "the ticket clerk",
            "the porter", "the track inspector", "the waiter of the dining car",
        ],
        objects: &[
            "suitcase", "timetable", "lamp", "whistle", "trolley", "ticket", "parcel", "signal arm", "coat",
            "trunk", "platform clock", "mailbag", "crossing gate", "wagon", "uniform", "points lever",
        ],
        places: &[
            "on the platform", "in the waiting room", "beside the water tower", "at the level crossing",
            "in the signal box", "behind the goods shed", "in the last carriage", "near the tunnel",
            "under the station roof", "along the siding",
        ],
        events: &[
            "the express ran late", "snow closed the upper line", "the whistle sounded twice",
            "a goods train rolled through", "the signal stayed red", "steam hid the platform",
            "the passengers changed trains", "the bridge was closed for repair",
        ],
    },
    Topic {
        roles: &[
            "the baker", "the miller", "the innkeeper", "the pastry cook", "the cheese maker",
            "the market trader", "the brewer", "the grocer",
        ],
        objects: &[
            "loaf tin", "copper pan", "mixing bowl", "sieve", "cake stand", "flour sack", "jar", "kettle",
            "wooden spoon", "oven door", "recipe card", "bread basket", "milk churn", "butter churn",
            "tablecloth", "pepper mill",
        ],
        places: &[
            "in the bakery", "behind the counter", "beside the oven", "in the cool cellar",
            "at the market stall", "on the marble table", "near the mill race", "under the striped awning",
            "in the pantry", "by the back door",
        ],
        events: &[
            "the dough rose well", "the smell of rye filled the street", "the oven cooled too soon",
            "a queue formed before dawn", "the yeast was slow", "the mill wheel turned again",
            "the butter ran short", "the last tart was sold",
        ],
    },
    Topic {
        roles: &[
            "the astronomer", "the night assistant", "the lens grinder", "the weather observer",
            "the surveyor", "the visiting professor", "the mountain guide", "the caretaker of the dome",
        ],
        objects: &[
            "telescope", "star chart", "thermometer", "mirror", "tripod", "barometer", "notebook",
            "eyepiece", "photograph", "theodolite", "chronometer", "camera", "field glass case",
            "rain gauge", "dial", "prism",
        ],
        places: &[
            "in the observatory", "on the summit", "under the open dome", "beside the weather mast",
            "in the cold hut", "along the ridge", "near the cable station", "at the eastern window",
            "on the iron stairs", "in the computing room",
        ],
        events: &[
            "the clouds parted at midnight", "the moon rose behind the ridge", "the dome refused to turn",
            "a comet was reported", "the wind rattled the shutters", "the air became very clear",
            "the path iced over", "the batteries ran down",
        ],
    },
    Topic {
        roles: &[
            "the stage manager", "the violinist", "the prompter", "the costume maker",
            "the conductor of the orchestra", "the leading actor", "the lighting hand", "the playwright",
        ],
        objects: &[
            "curtain", "costume", "script", "wig", "spotlight", "cello", "mask", "poster", "trumpet",
            "painted backdrop", "piano stool", "fan", "velvet chair", "trapdoor", "programme", "drum",
        ],
        places: &[
            "on the stage", "in the wings", "behind the curtain", "in the dressing room",
            "in the orchestra pit", "at the box office", "under the balcony", "beside the prop table",
            "in the paint loft", "by the stage door",
        ],
        events: &[
            "the rehearsal began late", "the lights flickered and held",
            "the audience laughed in the wrong place", "the second act was cut",
            "the chorus missed its cue", "the tickets sold out", "a string broke in the overture",
            "the applause went on and on",
        ],
    },
    Topic {
        roles: &[
            "the doctor", "the head nurse", "the chemist", "the midwife", "the ambulance driver",
            "the dentist", "the matron", "the young surgeon",
        ],
        objects: &[
            "stretcher", "medicine bottle", "blanket", "chart", "bandage roll", "thermometer",
            "prescription", "wheelchair", "tray", "white coat", "pillow", "screen", "syringe case",
            "record book", "basin", "walking stick",
        ],
        places: &[
            "in the long ward", "at the dispensary", "beside the night desk", "in the corridor",
            "near the side entrance", "in the sun room", "behind the folding screen", "on the second floor",
            "by the linen cupboard", "in the small laboratory",
        ],
        events: &[
            "the fever went down", "the night was unusually calm", "the ward was painted yellow",
            "the telephone rang and rang", "the visitors went home", "a child asked for a story",
            "the new beds arrived", "the kitchen sent up soup",
        ],
    },
    Topic {
        roles: &[
            "the schoolmistress", "the caretaker", "the chemistry teacher", "the headmaster",
            "the inspector", "the choir leader", "the sports coach", "the youngest pupil",
        ],
        objects: &[
            "blackboard", "globe", "satchel", "exercise book", "pencil case", "microscope", "school bell",
            "paint tin", "wall map", "recorder", "wooden desk", "football", "report card", "fossil",
            "model bridge", "lunch tin",
        ],
        places: &[
            "in the classroom", "in the playground", "on the back stairs", "beside the piano",
            "in the assembly hall", "under the chestnut tree", "by the coat hooks", "in the science room",
            "behind the gymnasium", "at the front gate",
        ],
        events: &[
            "the bell rang late", "the holidays were near", "the choir practised upstairs",
            "chalk dust hung in the air", "the first snow fell outside", "the class went silent",
            "a window was left open", "the prizes were announced",
        ],
    },
    Topic {
        roles: &[
            "the potter", "the weaver", "the dyer", "the glass blower", "the tailor", "the jeweller",
            "the sculptor", "the gallery owner",
        ],
        objects: &[
            "vase", "loom", "shuttle", "carpet", "bowl", "goblet", "necklace", "statue", "kiln shelf",
            "wall hanging", "brooch", "mould", "spindle", "coat button", "sketch", "tile",
        ],
        places: &[
            "in the studio", "beside the kiln", "at the craft fair", "in the drying loft",
            "on the long shelf", "near the dye vats", "under the north light", "in the shop window",
            "behind the loom", "by the courtyard well",
        ],
        events: &[
            "the glaze came out green", "the fire burned all night", "the wool was dyed twice",
            "a crack ran through the rim", "the fair opened early", "the market paid poorly",
            "the pattern was changed", "the exhibition moved to the capital",
        ],
    },
    Topic {
        roles: &[
            "the farmer", "the shepherd", "the vet", "the blacksmith", "the dairy hand", "the forester",
            "the carter", "the land agent",
        ],
        objects: &[
            "plough", "saddle", "horseshoe", "fence post", "milk pail", "cart", "sheep bell",
            "haystack cover", "bridle", "axe", "scarecrow", "feed trough", "tractor seat", "gate latch",
            "wool sack", "thresher belt",
        ],
        places: &[
            "in the barn", "on the high pasture", "beside the brook", "behind the stable",
            "at the edge of the wood", "in the lower field", "near the stone wall", "along the cart track",
            "under the great elm", "by the sheep pens",
        ],
        events: &[
            "the barley was cut", "the lambs came early", "the brook burst its banks",
            "a fox crossed the yard", "the hay stayed dry", "the horses grew restless",
            "the auction was put off", "smoke rose from the stubble",
        ],
    },
];

pub(super) const WOMEN: &[&str] = &[
    "Ada", "Agnes", "Beatrice", "Bridget", "Carmen", "Clara", "Daphne", "Dorothea", "Edith", "Elena",
    "Esther", "Fatima", "Flora", "Greta", "Hanna", "Harriet", "Ida", "Ingrid", "Irene", "Josephine",
    "Judith", "Karin", "Leonora", "Lydia", "Mabel", "Margaret", "Nadia", "Noor", "Olga", "Petra", "Priya",
    "Rosalind", "Ruth", "Sigrid", "Sofia", "Tamara", "Ursula", "Vera", "Wilma", "Yuki",
];

pub(super) const MEN: &[&str] = &[
    "Albert", "Amir", "Anton", "Bernard", "Bruno", "Cedric", "Conrad", "Dimitri", "Edgar", "Emil", "Felix",
    "Fergus", "Gideon", "Gustav", "Hamid", "Henrik", "Hugo", "Isaac", "Ivan", "Jonas", "Julian", "Kenji",
    "Lambert", "Leopold", "Magnus", "Matteo", "Nils", "Oscar", "Pavel", "Percy", "Quentin", "Rafael",
    "Rupert", "Samuel", "Silas", "Theo", "Tobias", "Viktor", "Walter", "Yusuf",
];

pub(super) const SURNAMES: &[&str] = &[
    "Abbott", "Almeida", "Ashdown", "Barlow", "Becker", "Bergman", "Calloway", "Castellan", "Corrigan",
    "Dahl", "Delacroix", "Dunmore", "Eastwood", "Eriksen", "Fairfax", "Farouk", "Fontaine", "Galloway",
    "Grimshaw", "Haddad", "Halloran", "Hartmann", "Ibsen", "Jarvis", "Kasper", "Kowalski", "Lachance",
    "Lindqvist", "Lovell", "Marchetti", "Mercer", "Moreau", "Nakamura", "Novak", "Okafor", "Orlova",
    "Palmer", "Pemberton", "Quill", "Ramsey", "Rossi", "Sandoval", "Sato", "Sinclair", "Sorensen", "Tanaka",
    "Thackeray", "Underhill", "Valdez", "Vance", "Verhoeven", "Wainwright", "Whitlock", "Winslow",
    "Yardley", "Zeller",
];

pub(super) const TOWNS: &[&str] = &[
    "Aldermoor", "Ashcombe", "Bellhaven", "Birchfell", "Brackenridge", "Calder Bay", "Carrowmore",
    "Crowhurst", "Dunsmere", "Eastmarch", "Elderwick", "Fallowfield", "Ferncliff", "Glenroyd", "Greystoke",
    "Hallowell", "Harrowgate", "Hazelmere", "Highbridge", "Inverlea", "Kestrel Point", "Kingsholt",
    "Larkhill", "Linden Cross", "Lower Marsham", "Maplethorpe", "Millbrook", "Netherby", "Northwold",
    "Oakhampton", "Otterbourne", "Pinehaven", "Port Sorrel", "Quarrydale", "Ravensmoor", "Redcliffe",
    "Rookwood", "Saltmarsh", "Silverton", "Southwick", "Stonebeck", "Thornbury", "Upper Wexley",
    "Valemouth", "Westerleigh", "Whitmore", "Willowby", "Wintercombe", "Yarrow", "Yewdale",
];

/// Adjectives for any object.
pub(super) const ADJECTIVES: &[&str] = &[
    "ancient", "battered", "borrowed", "broken", "cheap", "clumsy", "curious", "damp", "delicate", "dented",
    "dusty", "elegant", "enormous", "expensive", "faded", "familiar", "famous", "fragile", "green",
    "handsome", "heavy", "imported", "inherited", "large", "light", "little", "narrow", "new", "odd", "old",
    "ordinary", "painted", "pale", "patched", "plain", "polished", "red", "reliable", "rusty", "scratched",
    "second", "simple", "small", "spare", "splendid", "stained", "sturdy", "tiny", "unfinished", "unusual",
    "valuable", "white", "wobbly", "worn", "yellow",
];

/// What a person did to any object.
pub(super) const VERBS: &[&str] = &[
    "admired", "asked about", "bought", "brought back", "checked", "cleaned", "complained about", "copied",
    "counted on", "covered", "described", "drew", "dropped", "examined", "exchanged", "fetched", "found",
    "gave away", "hid", "identified", "inspected", "inherited", "kept", "labelled", "lent out",
    "looked for", "lost", "measured", "mended", "moved", "needed", "noticed", "ordered", "packed",
    "painted", "paid for", "photographed", "picked up", "pointed at", "praised", "put away", "recognised",
    "refused", "remembered", "repaired", "replaced", "returned", "saved", "sent for", "sketched", "sold",
    "stored", "studied", "talked about", "tested", "unpacked", "valued", "wanted", "weighed", "wrapped",
];

/// Verbs for a third person and an object, after "had been ... by".
pub(super) const PARTICIPLES: &[&str] = &[
    "admired", "altered", "bought", "built", "cleaned", "copied", "damaged", "described", "designed",
    "discovered", "donated", "drawn", "forgotten", "found", "hidden", "inspected", "invented", "kept",
    "left behind", "lent", "lost", "made", "measured", "mended", "ordered", "painted", "praised",
    "promised", "rebuilt", "rejected", "repaired", "replaced", "requested", "saved", "sold", "stolen",
    "tested", "thrown away", "valued", "wanted",
];

/// What a person did, without an object.
pub(super) const DEEDS: &[&str] = &[
    "waited", "whistled a tune", "fell asleep", "kept a diary", "told the same story", "ate lunch",
    "read the paper", "made a list", "thought about the journey", "changed the plan", "said nothing",
    "laughed", "wrote a long letter", "stayed until dark", "took a short walk", "made tea", "listened",
    "argued with the neighbours", "shook hands", "counted the days", "went home", "worked without a break",
    "learned a new trade", "lost patience", "planned the winter", "started again", "watched the street",
    "played chess", "hummed", "swept the floor", "drew a plan", "offered to help", "gave a short speech",
    "tried to remember the name", "looked worried", "arrived with an umbrella",
];

pub(super) const ADVERBS: &[&str] = &[
    "again", "alone", "calmly", "carefully", "cheerfully", "eagerly", "gently", "gladly", "in a hurry",
    "in silence", "later", "quickly", "quietly", "slowly", "suddenly", "twice", "with care",
    "with great patience", "with some doubt", "without a word", "without complaint", "without delay",
    "with a smile", "before breakfast",
];

/// Openers that are followed by a comma.
pub(super) const TIMES: &[&str] = &[
    "After the long winter", "After lunch", "All through the spring", "As usual", "At dawn", "At first",
    "At the weekend", "Before the holidays", "Before the storm", "By the end of the week",
    "During the strike", "Early one morning", "Every other evening", "For almost a year", "For once",
    "From then on", "In April", "In the afternoon", "In the autumn", "In the end",
    "In the first week of June", "In those days", "Late in October", "Later that night", "Many years ago",
    "Not long afterwards", "On a wet Thursday", "On most Mondays", "On the following day",
    "On the last Sunday of May", "Once a month", "One summer", "Shortly after noon", "Some time later",
    "That same evening", "The next morning", "Towards midnight", "Two weeks later", "Until that day",
    "With the first snow",
];

pub(super) const COUNTS: &[&str] = &[
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "a dozen", "fifteen",
    "twenty", "thirty", "several", "many", "a few", "hundreds of",
];

/// What a person meant to do or believed, after "said that".
pub(super) const OPINIONS: &[&str] = &[
    "the price was fair", "nobody would notice", "it could wait until morning",
    "the work was worth the trouble", "the old way was better", "there was no time to lose",
    "somebody ought to keep a record", "patience was half the trade", "the council had decided wisely",
    "things would look different by spring", "a second opinion would do no harm",
    "good tools outlast their owners", "the rumour could not be true", "it was nobody's fault",
    "the plan needed more money", "one mistake was enough", "the weather would hold",
    "every town had such a story", "it looked better by daylight", "a promise was a promise",
];

/// Openers of a sentence that carries a thought on.
pub(super) const CONNECTIVES: &[&str] = &[
    "As a result", "At the same time", "Because of this", "Even so", "For the same reason", "However",
    "In fact", "In return", "Instead", "Meanwhile", "More than once", "Nevertheless", "Of course",
    "Oddly enough", "On the whole", "Soon enough", "Still", "To everyone's surprise", "Unfortunately",
    "What is more",
];

/// What an object did or was, as a verb phrase.
pub(super) const STATES: &[&str] = &[
    "attracted little attention", "became the talk of the town", "belonged to nobody",
    "broke on the first day", "came from far away", "caused a long argument", "cost more than a house",
    "disappeared for a month", "gleamed in the light", "had a story of its own", "lay under a cloth",
    "looked almost new", "made a strange noise", "needed some oil", "never left the room",
    "seemed out of place", "served its purpose", "smelled of smoke", "stood in the way",
    "turned out to be a copy", "was heavier than it looked", "was missing a part",
    "was older than anyone thought", "worked better than before",
];
