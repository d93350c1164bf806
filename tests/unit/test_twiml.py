"""TwiML documents: what they ask for, what is skipped, and what is refused."""

import pytest

from trunkline.twiml import (
    Document,
    FetchNext,
    Kind,
    Remark,
    Reply,
    TwimlError,
    charset_of,
    document_kind,
    interpret,
    plain,
    read_answer,
)


def response(inner: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{inner}</Response>'


def only_reply(inner: str) -> Reply:
    (reply,) = interpret(response(inner)).actions
    assert isinstance(reply, Reply)
    return reply


def refusal(document: bytes | str) -> int:
    with pytest.raises(TwimlError) as caught:
        interpret(document)
    assert caught.value.reason
    return caught.value.code


def warning_codes(inner: str) -> list[int]:
    return [warning.code for warning in interpret(response(inner)).warnings]


def test_a_message_is_a_reply_with_every_attribute():
    reply = only_reply(
        '<Message to="+15550001" from="+15550002" action="/next" method="get"'
        ' statusCallback="https://a.example/s">Hello</Message>'
    )
    assert reply == Reply(
        body="Hello",
        to="+15550001",
        from_="+15550002",
        action="/next",
        method="GET",
        status_callback="https://a.example/s",
    )


def test_an_empty_response_asks_for_nothing():
    assert interpret(b"<Response/>") == Document((), ())


def test_the_old_verb_is_a_message():
    assert only_reply("<Sms>Hi</Sms>") == Reply(body="Hi")


@pytest.mark.parametrize(
    ("inner", "body", "media"),
    [
        ("<Body>Hello</Body>", "Hello", ()),
        ("\n  <Body>\n  Hello\n  </Body>\n", "Hello", ()),
        ("<Body>one </Body><Body>two</Body>", "onetwo", ()),
        ("Hi <Body>there</Body>", "Hi there", ()),
        ("Hi<Media> https://a.example/1.png </Media>", "Hi", ("https://a.example/1.png",)),
        (
            "<Media>https://a/1</Media><Media>https://a/2</Media>",
            "",
            ("https://a/1", "https://a/2"),
        ),
        ("line 1\nline 2", "line 1\nline 2", ()),
        ("5 &lt; 6 &amp; &#x1F600;", "5 < 6 & 😀", ()),
        ("<![CDATA[<b>]]>", "<b>", ()),
        ("<!-- note -->Hi", "Hi", ()),
    ],
)
def test_text_and_media_of_a_message(inner, body, media):
    reply = only_reply(f"<Message>{inner}</Message>")
    assert (reply.body, reply.media) == (body, media)


def test_actions_keep_their_order_and_nothing_follows_a_redirect():
    document = interpret(
        response(
            "<Message>1</Message><Message>2</Message>"
            '<Redirect method="GET"> /more?x=1 </Redirect><Message>never</Message><Nonsense/>'
        )
    )
    assert document.actions == (
        Reply(body="1"),
        Reply(body="2"),
        FetchNext("/more?x=1", "GET"),
    )
    assert document.warnings == ()


def test_nothing_follows_a_message_with_an_action():
    document = interpret(response('<Message action="/a">1</Message><Message>never</Message>'))
    assert document.actions == (Reply(body="1", action="/a"),)


@pytest.mark.parametrize(
    ("inner", "codes"),
    [
        ("<Fax>1</Fax>", [12200]),
        ("<message>Hi</message>", [12200]),
        ("<Say>Hi</Say>", [14110]),
        ("<Gather><Say>Hi</Say></Gather><Dial>1</Dial>", [14110, 14110]),
        ("stray text", [12200]),
        ('<Message colour="red">Hi</Message>', [12200]),
        ("<Message>Hi<Video>x</Video></Message>", [12200]),
        ("<Message><Body>Hi<b>!</b></Body></Message>", [12200]),
        ("<Message>Hi<Media/></Message>", [12200]),
        ('<Redirect verb="x">/a</Redirect>', [12200]),
    ],
)
def test_what_is_not_known_is_skipped_with_a_warning(inner, codes):
    assert warning_codes(inner) == codes


def test_processing_continues_after_a_warning():
    document = interpret(response('<Say>1</Say><Message Body="x">2</Message>'))
    assert document.actions == (Reply(body="2"),)
    assert document.warnings == (
        Remark(14110, "<Say> is a verb for calls"),
        Remark(12200, "<Message> has no attribute Body"),
    )


def test_warnings_are_bounded():
    assert len(warning_codes("<Nonsense/>" * 500)) == 20


def test_namespaces_are_no_markup_of_ours():
    document = interpret(
        '<Response xmlns="urn:x" xmlns:xsi="urn:y" xsi:schemaLocation="z"><Message>Hi</Message>'
        "</Response>"
    )
    assert document == Document((Reply(body="Hi"),), ())


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("", 12100),
        ("Hello", 12100),
        ("<Response>", 12100),
        ("<Response/><Response/>", 12100),
        ("<Response>&nbsp;</Response>", 12100),
        ("<Response>\x00</Response>", 12100),
        ("<Response>\ud800</Response>", 12100),
        ("<!DOCTYPE html><html></html>", 12100),
        ('<!DOCTYPE x [<!ENTITY a "b">]><Response>&a;</Response>', 12100),
        ("<a>" * 40 + "</a>" * 40, 12100),
        ("<html></html>", 12102),
        ("<response/>", 12102),
        (b"<Response>\xff</Response>", 12100),
        (b'<?xml version="1.0" encoding="klingon"?><Response/>', 12100),
        (b'<?xml version="1.0" encoding="rot13"?><Response/>', 12100),
        (response("<Message>Hi</Message>" * 11), 14109),
        (response(f"<Message>{'x' * 1601}</Message>"), 14103),
        (response("<Message></Message>"), 14103),
        (response("<Message>Hi" + "<Media>https://a/</Media>" * 11 + "</Message>"), 14103),
        (response('<Message method="PUT">Hi</Message>'), 14104),
        (response('<Redirect method="">/a</Redirect>'), 14104),
        (response('<Message to="">Hi</Message>'), 14101),
        (response('<Message from=" ">Hi</Message>'), 14102),
        (response("<Redirect> </Redirect>"), 11100),
        ("<Response>" + " " * 65536 + "</Response>", 11750),
        (b"<Response>" + b" " * 65536 + b"</Response>", 11750),
    ],
)
def test_what_cannot_be_obeyed_is_refused_with_its_code(document, code):
    assert refusal(document) == code


def test_limits_themselves_are_allowed():
    assert len(interpret(response("<Message>Hi</Message>" * 10)).actions) == 10
    assert len(only_reply(f"<Message>{'x' * 1600}</Message>").body) == 1600
    room = 65536 - len("<Response></Response>")
    assert interpret("<Response>" + " " * room + "</Response>") == Document()


def test_a_blank_status_callback_is_none():
    assert only_reply('<Message statusCallback="" action=" ">Hi</Message>') == Reply(body="Hi")


@pytest.mark.parametrize(
    "document",
    [
        "\n <?xml version='1.0'?><Response><Message>é</Message></Response>",
        "\ufeff<?xml version='1.0' encoding='utf-16'?><Response><Message>é</Message></Response>",
        "<Response><Message>é</Message></Response>".encode(),
        "\ufeff<Response><Message>é</Message></Response>".encode(),
        "<Response><Message>é</Message></Response>".encode("utf-16"),
        "<Response><Message>é</Message></Response>".encode("utf-16-be"),
        "<Response><Message>é</Message></Response>".encode("utf-16-le"),
        "<?xml version='1.0' encoding='latin1'?><Response><Sms>é</Sms></Response>".encode("cp1252"),
        "<?xml version='1.0' encoding='cp1252'?><Response><Sms>é</Sms></Response>".encode("cp1252"),
    ],
)
def test_every_way_to_say_the_encoding(document):
    assert interpret(document).actions == (Reply(body="é"),)


def test_the_transport_charset_goes_before_the_declaration():
    document = "<?xml version='1.0' encoding='utf-8'?><Response><Message>é</Message></Response>"
    encoded = document.encode("latin-1")
    assert interpret(encoded, charset="ISO-8859-1").actions == (Reply(body="é"),)
    assert refusal(encoded) == 12100


def test_multi_byte_encodings_are_read():
    document = "<?xml version='1.0' encoding='Shift_JIS'?><Response><Sms>日本</Sms></Response>"
    assert interpret(document.encode("shift_jis")).actions == (Reply(body="日本"),)


@pytest.mark.parametrize(
    ("content_type", "body", "kind"),
    [
        ("text/xml", b"<Response/>", Kind.TWIML),
        ("Application/XML; charset=utf-8", b"<Response/>", Kind.TWIML),
        ("text/html; charset=utf-8", b"<Response/>", Kind.TWIML),
        ("application/twiml+xml", b"<Response/>", Kind.TWIML),
        ("text/plain", b"Hi", Kind.TEXT),
        ("text/html", b" \n", Kind.EMPTY),
        (None, b"", Kind.EMPTY),
        ("application/json", b"", Kind.EMPTY),
    ],
)
def test_content_types(content_type, body, kind):
    assert document_kind(content_type, body) is kind


@pytest.mark.parametrize("content_type", [None, "", "application/json", "image/png", "text"])
def test_unusable_content_types_are_refused(content_type):
    with pytest.raises(TwimlError) as caught:
        document_kind(content_type, b"{}")
    assert caught.value.code == 12300


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("text/xml; charset=UTF-8", "UTF-8"),
        ('text/plain; a=b; charset="iso-8859-1"', "iso-8859-1"),
        ("text/plain", None),
        ("text/plain; charset=", None),
        (None, None),
    ],
)
def test_charsets(content_type, charset):
    assert charset_of(content_type) == charset


@pytest.mark.parametrize(
    ("content_type", "body", "actions"),
    [
        ("text/html", b"<Response><Message>Hi</Message></Response>", (Reply(body="Hi"),)),
        ("text/plain; charset=latin-1", b" caf\xe9\n", (Reply(body="café"),)),
        ("text/plain", b"bad \xff byte", (Reply(body="bad \ufffd byte"),)),
        (None, b"", ()),
    ],
)
def test_an_answer_is_read_by_its_type(content_type, body, actions):
    assert read_answer(content_type, body).actions == actions


def test_plain_text_is_as_limited_as_a_message():
    assert plain("x" * 1600).body == "x" * 1600
    with pytest.raises(TwimlError) as caught:
        plain("x" * 1601)
    assert caught.value.code == 14103
