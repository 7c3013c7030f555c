"""Ten German sentences with English translations, written and linked word by word by hand for this project.

Words are cut at white space and counted from 0; a link is German, then English.
"""

GERMAN = (
    (
        "Ein Mann läuft mit seinem Hund am Strand entlang.",
        "A man runs along the beach with his dog.",
        "0-0 1-1 2-2 3-6 4-7 5-8 6-4 7-5 8-3",
    ),
    (
        "Eine Frau mit roten Haaren spielt Gitarre auf der Straße.",
        "A woman with red hair plays guitar on the street.",
        "0-0 1-1 2-2 3-3 4-4 5-5 6-6 7-7 8-8 9-9",
    ),
    (
        "Zwei Kinder, die im Schnee spielen, lachen laut.",
        "Two children who are playing in the snow laugh loudly.",
        "0-0 1-1 2-2 5-3 5-4 3-5 3-6 4-7 6-8 7-9",
    ),
    (
        "Im Park sitzt ein alter Mann auf einer Bank und liest.",
        "An old man sits on a bench in the park and reads.",
        "3-0 4-1 5-2 2-3 6-4 7-5 8-6 0-7 0-8 1-9 9-10 10-11",
    ),
    (
        "Der Junge, der ein blaues Hemd trägt, hat den Ball gefangen.",
        "The boy wearing a blue shirt has caught the ball.",
        "0-0 1-1 6-2 3-3 4-4 5-5 7-6 10-7 8-8 9-9",
    ),
    (
        "Drei Frauen stehen vor einem Haus und reden miteinander.",
        "Three women are standing in front of a house talking to each other.",
        "0-0 1-1 2-2 2-3 3-4 3-5 3-6 4-7 5-8 7-9 8-10 8-11 8-12",
    ),
    (
        "Ein Hund springt über einen Zaun.",
        "A dog jumps over a fence.",
        "0-0 1-1 2-2 3-3 4-4 5-5",
    ),
    (
        "Auf dem Tisch stehen viele Teller mit Essen.",
        "There are many plates with food on the table.",
        "3-0 3-1 4-2 5-3 6-4 7-5 0-6 1-7 2-8",
    ),
    (
        "Gestern hat der Koch in der Küche eine Suppe gekocht.",
        "Yesterday the cook made a soup in the kitchen.",
        "0-0 2-1 3-2 9-3 7-4 8-5 4-6 5-7 6-8",
    ),
    (
        "Die Arbeiter reparieren bei Nacht das Dach eines großen Gebäudes.",
        "The workers repair the roof of a large building at night.",
        "0-0 1-1 2-2 5-3 6-4 7-5 7-6 8-7 9-8 3-9 4-10",
    ),
)
