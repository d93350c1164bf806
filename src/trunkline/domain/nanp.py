"""The North American Numbering Plan: which country and state an area code belongs to.

Geographic area codes in service in the United States and Canada, and those of the other members of
the plan, as assigned by NANPA; codes that are only reserved are left out.
"""

from types import MappingProxyType

_UNITED_STATES = {
    "AK": "907",
    "AL": "205 251 256 334 659 938",
    "AR": "327 479 501 870",
    "AZ": "480 520 602 623 928",
    "CA": (
        "209 213 279 310 323 341 350 357 369 408 415 424 442 510 530 559 562 619 626 628 650 657 "
        "661 669 707 714 738 747 760 805 818 820 831 837 840 858 909 916 925 949 951"
    ),
    "CO": "303 719 720 748 970 983",
    "CT": "203 475 860 959",
    "DC": "202 771",
    "DE": "302",
    "FL": (
        "239 305 321 324 352 386 407 448 561 645 656 689 727 728 754 772 786 813 850 863 904 941 "
        "954"
    ),
    "GA": "229 404 470 478 678 706 762 770 912 943",
    "HI": "808",
    "IA": "319 515 563 641 712",
    "ID": "208 986",
    "IL": "217 224 309 312 331 447 464 618 630 708 730 773 779 815 847 861 872",
    "IN": "219 260 317 463 574 765 812 930",
    "KS": "316 620 785 913",
    "KY": "270 364 502 606 859",
    "LA": "225 318 337 504 985",
    "MA": "339 351 413 508 617 774 781 857 978",
    "MD": "227 240 301 410 443 667",
    "ME": "207",
    "MI": "231 248 269 313 517 586 616 679 734 810 906 947 989",
    "MN": "218 320 507 612 651 763 924 952",
    "MO": "235 314 417 557 573 636 660 816 975",
    "MS": "228 471 601 662 769",
    "MT": "406",
    "NC": "252 336 472 704 743 828 910 919 980 984",
    "ND": "701",
    "NE": "308 402 531",
    "NH": "603",
    "NJ": "201 551 609 640 732 848 856 862 908 973",
    "NM": "505 575",
    "NV": "702 725 775",
    "NY": (
        "212 315 329 332 347 363 516 518 585 607 624 631 646 680 716 718 838 845 914 917 929 934"
    ),
    "OH": "216 220 234 283 326 330 380 419 436 440 513 567 614 740 937",
    "OK": "405 539 572 580 918",
    "OR": "458 503 541 971",
    "PA": "215 223 267 272 412 445 484 570 582 610 717 724 814 835 878",
    "RI": "401",
    "SC": "803 821 839 843 854 864",
    "SD": "605",
    "TN": "423 615 629 731 865 901 931",
    "TX": (
        "210 214 254 281 325 346 361 409 430 432 469 512 621 682 713 726 737 806 817 830 832 903 "
        "915 936 940 945 956 972 979"
    ),
    "UT": "385 435 801",
    "VA": "276 434 540 571 686 703 757 804 826 948",
    "VT": "802",
    "WA": "206 253 360 425 509 564",
    "WI": "262 274 353 414 534 608 715 920",
    "WV": "304 681",
    "WY": "307",
}
_CANADA = {
    "AB": "368 403 587 780 825",
    "BC": "236 250 257 604 672 778",
    "MB": "204 431 584",
    "NB": "428 506",
    "NL": "709 879",
    "NS": "782 902",
    "NT": "867",
    "ON": "226 249 289 343 365 382 416 437 519 548 613 647 683 705 742 753 807 905 942",
    "QC": "263 273 354 367 418 438 450 468 514 579 581 819 873",
    "SK": "306 474 639",
}
# These codes also serve a second province or territories; the first one named above comes back.
_ALSO = {("CA", "PE"): ("782", "902"), ("CA", "NU"): ("867",), ("CA", "YT"): ("867",)}

_OTHER_COUNTRIES = {
    "AG": "268",
    "AI": "264",
    "AS": "684",
    "BB": "246",
    "BM": "441",
    "BS": "242",
    "DM": "767",
    "DO": "809 829 849",
    "GD": "473",
    "GU": "671",
    "JM": "658 876",
    "KN": "869",
    "KY": "345",
    "LC": "758",
    "MP": "670",
    "MS": "664",
    "PR": "787 939",
    "SX": "721",
    "TC": "649",
    "TT": "868",
    "VC": "784",
    "VG": "284",
    "VI": "340",
}

# Area codes that lie over each other: whoever has a number of one may live next to one of another.
_OVERLAYS = (
    *("205 659", "256 938", "327 870", "480 602 623"),
    *("209 350", "213 323 738", "279 916", "310 424", "341 510", "357 559", "369 707", "408 669"),
    *("415 628", "442 760", "530 837", "619 858", "657 714", "747 818", "805 820", "840 909"),
    *("303 720 983", "748 970", "203 475", "860 959", "202 771"),
    *("305 645 786", "321 407 689", "324 904", "448 850", "561 728", "656 813", "754 954"),
    *("404 470 678 943", "470 678 770 943", "706 762", "208 986"),
    *("217 447", "224 847", "309 861", "312 872", "773 872", "331 630", "464 708", "618 730"),
    *("779 815", "317 463", "812 930", "270 364", "227 240 301", "410 443 667"),
    *("339 781", "351 978", "508 774", "617 857", "248 947", "313 679", "507 924"),
    *("235 573", "314 557", "816 975", "471 662", "601 769", "402 531", "702 725"),
    *("201 551", "609 640", "732 848", "862 973"),
    *("212 332 646 917", "347 718 917 929", "315 680", "329 845", "363 516", "518 838"),
    *("624 716", "631 934", "336 743", "472 910", "704 980", "919 984"),
    *("220 740", "234 330", "283 513", "326 937", "380 614", "419 567", "436 440"),
    *("405 572", "539 918", "458 541", "503 971"),
    *("215 267 445", "223 717", "272 570", "412 878", "484 610 835", "582 814", "724 878"),
    *("803 839", "821 864", "843 854", "615 629"),
    *("210 726", "214 469 945 972", "281 346 621 713 832", "430 903", "512 737", "682 817"),
    *("385 801", "540 826", "571 703", "686 804", "757 948", "360 564", "304 681"),
    *("274 920", "353 608", "534 715"),
    *("368 403 587 825", "368 587 780 825", "236 250 672 778", "236 604 672 778"),
    *("204 431 584", "428 506", "709 879", "782 902", "306 474 639"),
    *("226 382 519 548", "249 683 705", "289 365 742 905", "343 613 753", "416 437 647 942"),
    *("263 438 514", "354 450 579", "367 418 581", "468 819 873"),
)

# 822 is reserved for toll-free use but not in service.
TOLL_FREE_AREA_CODES = frozenset({"800", "833", "844", "855", "866", "877", "888"})


def _by_region() -> dict[tuple[str, str], tuple[str, ...]]:
    regions = {("US", state): tuple(codes.split()) for state, codes in _UNITED_STATES.items()}
    regions |= {("CA", province): tuple(codes.split()) for province, codes in _CANADA.items()}
    return regions | _ALSO


AREA_CODES_BY_REGION = MappingProxyType(_by_region())

COUNTRY_BY_AREA_CODE = MappingProxyType(
    {code: country for (country, _), codes in AREA_CODES_BY_REGION.items() for code in codes}
    | {code: country for country, codes in _OTHER_COUNTRIES.items() for code in codes.split()}
)

_REGION_BY_AREA_CODE = {
    code: region
    for (country, region), codes in AREA_CODES_BY_REGION.items()
    if (country, region) not in _ALSO
    for code in codes
}


def _by_area_code() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for codes in map(frozenset, map(str.split, _OVERLAYS)):
        found |= {code: found.get(code, frozenset()) | codes for code in codes}
    return found


_OVERLAYS_BY_AREA_CODE = _by_area_code()


def overlays_of(area_code: str) -> frozenset[str]:
    """Return the area codes of the same place, with itself; itself alone where there is none."""
    return _OVERLAYS_BY_AREA_CODE.get(area_code) or frozenset({area_code})


def region_of(area_code: str) -> str | None:
    """Return the state or province of a US or Canadian area code."""
    return _REGION_BY_AREA_CODE.get(area_code)


def area_codes(country: str, region: str | None = None) -> tuple[str, ...]:
    """Return the geographic area codes of a country, or of one of its states or provinces."""
    if region is not None:
        return AREA_CODES_BY_REGION.get((country, region), ())
    return tuple(sorted(code for code, owner in COUNTRY_BY_AREA_CODE.items() if owner == country))
