//! Mails that are HTML only, as ten mail programs write them.

use super::super::{Reading, Written};
use super::visible_page;

const PROGRAMS: [(&str, &str); 17] = [
    (
        "Gmail",
        r#"<div dir="ltr">Yes.<br clear="all"><div><br></div><span class="gmail_signature_prefix">-- </span><br><div dir="ltr" class="gmail_signature" data-smartmail="gmail_signature">Ann Example</div></div><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">On Mon, Jan 5, 2026 at 10:15&#8239;AM Bob &lt;<a href="mailto:bob@example.com">bob@example.com</a>&gt; wrote:<br></div><blockquote class="gmail_quote" style="margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);padding-left:1ex"><div dir="ltr">Well?</div></blockquote></div>"#,
    ),
    (
        "Gmail in a language that nobody knows",
        r#"<div dir="ltr">Yes.</div><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">Qwe 5 asd Bob zxc:<br></div><blockquote class="gmail_quote">Well?</blockquote></div>"#,
    ),
    (
        "Apple Mail",
        r#"<html><body style="word-wrap: break-word;">Yes.<br><div><br><blockquote type="cite"><div>On 5 Jan 2026, at 10:15, Bob &lt;bob@example.com&gt; wrote:</div><br class="Apple-interchange-newline"><div>Well?</div></blockquote></div></body></html>"#,
    ),
    (
        "iPhone",
        r#"<html><body dir="auto">Yes.<br id="lineBreakAtBeginningOfSignature"><div dir="ltr">Sent from my iPhone</div><div dir="ltr"><br><blockquote type="cite">On Jan 5, 2026, at 10:15, Bob &lt;bob@example.com&gt; wrote:<br><br></blockquote></div><blockquote type="cite"><div dir="ltr">Well?</div></blockquote></body></html>"#,
    ),
    (
        "Outlook",
        r#"<html><head><style><!-- p.MsoNormal {margin:0} --></style></head><body><div class="WordSection1"><p class="MsoNormal">Yes.<o:p></o:p></p><p class="MsoNormal"><o:p>&nbsp;</o:p></p><div><div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0in 0in 0in"><p class="MsoNormal"><b>From:</b> Bob &lt;bob@example.com&gt; <br><b>Sent:</b> Monday, January 5, 2026 10:15 AM<br><b>To:</b> Ann<br><b>Subject:</b> Order<o:p></o:p></p></div></div><p class="MsoNormal">Well?</p></div></body></html>"#,
    ),
    (
        "Outlook in a language that nobody knows",
        r#"<div class="WordSection1"><p class="MsoNormal">Yes.</p><div style="border:none;border-top:solid #B5C4DF 1.0pt"><p class="MsoNormal"><b>Qwe:</b> Bob<br><b>Asd:</b> Monday<br><b>Zxc:</b> Ann<br><b>Rty:</b> Order</p></div><p class="MsoNormal">Well?</p></div>"#,
    ),
    (
        "Outlook on the web",
        r#"<html><body><div>Yes.</div><div id="Signature"><p>Ann Example</p></div><div id="appendonsend"></div><hr style="display:inline-block;width:98%" tabindex="-1"><div id="divRplyFwdMsg" dir="ltr"><font face="Calibri"><b>From:</b> Bob<br><b>Sent:</b> Monday<br></font></div><div>Well?</div></body></html>"#,
    ),
    (
        "Outlook on a telephone",
        r#"<body><div dir="auto">Yes.</div><div id="ms-outlook-mobile-signature"><div><br></div>Get <a href="https://aka.ms/o0ukef">Outlook for iOS</a></div><div id="mail-editor-reference-message-container" dir="auto"><hr><div id="divRplyFwdMsg"><b>From:</b> Bob</div>Well?</div></body>"#,
    ),
    (
        "Hotmail",
        r#"<p>Yes.</p><table class="OutlookMessageHeader"><tr><td>-----Original Message-----<br><b>From:</b> Bob</td></tr></table><p>Well?</p>"#,
    ),
    (
        "Yahoo",
        r#"<div class="ydp1"><div dir="ltr">Yes.</div><div><br></div></div><div id="yahoo_quoted_1" class="yahoo_quoted"><div><div>On Monday, January 5, 2026 at 10:15:00 AM GMT, Bob &lt;bob@example.com&gt; wrote: </div><div><br></div><div>Well?</div></div></div>"#,
    ),
    (
        "Thunderbird",
        r#"<p>Yes.<br></p><div class="moz-signature">-- <br>Ann Example</div><div class="moz-cite-prefix">Am 05.01.2026 um 10:15 schrieb Bob:<br></div><blockquote type="cite" cite="mid:a@example.com"><pre class="moz-quote-pre" wrap="">Well?
Really?</pre></blockquote>"#,
    ),
    (
        "Proton",
        r#"<div style="font-family: Arial">Yes.</div><div class="protonmail_signature_block"><div class="protonmail_signature_block-proton">Sent with Proton Mail.</div></div><div><br></div><div class="protonmail_quote">On Monday, January 5th, 2026 at 10:15 AM, Bob &lt;bob@example.com&gt; wrote:<br><blockquote class="protonmail_quote" type="cite">Well?</blockquote><br></div>"#,
    ),
    (
        "Zoho",
        r#"<div>Yes.</div><div class="zmail_extra_hr"></div><div class="zmail_extra" data-zbluepencil-ignore="true"><div><br></div><div id="Zm-_Id_-Sgn1">---- On Mon, 05 Jan 2026 10:15:00 +0000 <b>Bob &lt;bob@example.com&gt;</b> wrote ---</div><blockquote>Well?</blockquote></div>"#,
    ),
    (
        "Tutanota",
        r#"<div>Yes.</div><div>5 Jan 2026, 10:15 by bob@example.com:</div><blockquote class="tutanota_quote">Well?</blockquote>"#,
    ),
    (
        "Roundcube",
        r#"<p>Yes.</p><p id="reply-intro">On 2026-01-05 10:15, Bob wrote:</p><blockquote type="cite" style="padding: 0 0.4em"><div>Well?</div></blockquote>"#,
    ),
    (
        "GMX",
        r#"<div style="font-family: Verdana"><div>Yes.</div><div>&nbsp;</div><div name="quote" style="margin:10px 5px 5px 10px"><div><b>Gesendet:</b> Montag, 05. Januar 2026<br><b>Von:</b> Bob &lt;bob@example.com&gt;<br><b>An:</b> Ann<br><b>Betreff:</b> Order</div><div name="quoted-content">Well?</div></div></div>"#,
    ),
    (
        "QQ",
        r#"<div>Yes.</div><div><br></div><div style="font-size: 12px">------------------&nbsp;原始邮件&nbsp;------------------</div><div><div><b>发件人:</b>Bob</div></div><div>Well?</div>"#,
    ),
];

#[test]
fn the_answer_alone_is_visible_in_the_html_of_each_program() {
    for (program, html) in PROGRAMS {
        let reading = Reading::of(&Written { html: Some(html), ..Written::default() });
        let visible = reading.visible().unwrap_or_default();
        assert_eq!(visible, "Yes.", "{program}: {:?}", reading.pieces().collect::<Vec<_>>());
        let folded: String = reading.folded().map(|(_, text)| text).collect();
        assert!(folded.contains("Well?"), "{program}: {folded}");
    }
}

#[test]
fn html_is_read_as_a_reader_sees_it() {
    for (html, expected) in [
        ("<p>Hello&nbsp;Ann,</p><p>how  are\nyou?</p>", "Hello Ann,\n\nhow are you?"),
        ("a<br>b<br><br>c<div>d</div><div><br></div><div>e</div>", "a\nb\n\nc\nd\n\ne"),
        ("<ul><li>one<li>two</ul>after", "one\ntwo\n\nafter"),
        ("<table><tr><td>a<td>b<tr><td>c</table>", "a b\nc"),
        ("<b>bo</b>ld &amp; &lt;b&gt; &#x263a; &eacute;", "bold & <b> ☺ é"),
        ("<style>p {}</style><script>x = '<p>no</p>'</script><title>T</title>yes", "yes"),
        ("<!-- no -->yes<!--[if mso]>no<![endif]-->", "yes"),
        ("<div style='display: none; max-height:0'>no</div>yes", "yes"),
        ("<img alt=\"a > b\" src=x>yes", "yes"),
        ("<pre>one\ntwo</pre>", "one\ntwo"),
        (
            "<blockquote style='margin:0 0 0 40px;border:none;padding:0px'>indented</blockquote>",
            "indented",
        ),
        ("</div></p>yes</blockquote>", "yes"),
        ("unclosed <b", "unclosed"),
    ] {
        assert_eq!(visible_page(html), expected, "{html}");
    }
}

#[test]
fn answers_between_blockquotes_stay_with_what_they_answer() {
    let html = r#"<div class="gmail_quote"><div class="gmail_attr">On 5 Jan 2026 at 10:15, Bob wrote:</div><blockquote class="gmail_quote">Red?</blockquote><div>No.</div><blockquote class="gmail_quote">Blue?</blockquote><div>Yes.</div><blockquote class="gmail_quote">Bob</blockquote></div>"#;
    assert_eq!(
        visible_page(html),
        "On 5 Jan 2026 at 10:15, Bob wrote:\n\n> Red?\n\nNo.\n\n> Blue?\n\nYes."
    );
}

#[test]
fn a_mail_that_is_passed_on_as_html_is_visible_whole() {
    let gmail = r#"<div dir="ltr">For you.<br><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">---------- Forwarded message ---------<br>From: Bob<br></div>Well?<blockquote class="gmail_quote">Older</blockquote></div></div>"#;
    assert_eq!(
        visible_page(gmail),
        "For you.\n\n---------- Forwarded message ---------\nFrom: Bob\nWell?\n\n> Older"
    );
    let outlook = r#"<div>For you.</div><div id="divRplyFwdMsg"><b>From:</b> Bob<br><b>Sent:</b> Monday</div><div>Well?</div>"#;
    let reading =
        Reading::of(&Written { subject: Some("WG: Order"), text: None, html: Some(outlook) });
    assert_eq!(reading.visible().as_deref(), Some("For you.\nFrom: Bob\nSent: Monday\nWell?"));
    let thunderbird =
        r#"<p>For you.</p><div class="moz-forward-container">-------- Qwe --------<br>Well?</div>"#;
    assert_eq!(visible_page(thunderbird), "For you.\n\n-------- Qwe --------\nWell?");
}
