"""Names of folders that some program on the way takes for more than a name."""

from __future__ import annotations

import unicodedata

ODD = {
    "python3": "my python3 data",
    "blank": "a  b ",
    "quotes": 'it\'s "quoted"',
    "backslash": "a\\b\\",
    "dollar": "$HOME ${x} `id`",
    "brace": "{x} {0}",
    "percent": "100% %s %(x)s",
    "hash": "#1",
    "shell": "a;b && c || !(d) & <e>",
    "pattern": "[a]* b?"[:-1],
    "newline": "two\nlines",
    "korean": "뇌혈관 조영",
    "decomposed": unicodedata.normalize("NFD", "한글 é"),
    "dash": "-rf",
    "tilde": "~a~",
    "scheme": "a::b:c@d=e+f,g",
    "long": "x" * 240,
}
"""One name of each kind."""

ALL = "".join(name for kind, name in ODD.items() if kind != "long").replace("\n", " ")
"""All kinds in one name but a newline, which is no fault of a path's but makes two lines of a line."""
