from __future__ import annotations

from pathlib import Path

import pytest

from textcnn.data.readers import ReadOptions, read_examples
from textcnn.errors import BadRowsError, ReadError

from .reading import ROWS, as_csv, pairs, write


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_encodings_are_detected_with_and_without_mark(tmp_path: Path, encoding: str) -> None:
    examples = read_examples(write(tmp_path / "a.csv", as_csv(ROWS), encoding))
    assert pairs(examples) == ROWS
    assert examples.text_columns == ("text",)
    assert examples.encoding == encoding.removesuffix("-sig") or examples.encoding == f"{encoding}-le"
    assert examples.doubts == ()


@pytest.mark.parametrize(
    ("encoding", "texts"),
    [
        ("cp1251", ["Отличный банк, всё быстро", "Очередь на час, ужас", "Карту так и не привезли"]),
        ("cp1252", ["Très déçu par le café", "Schöne Grüße aus München", "El niño comió mañana"]),
        ("gb18030", ["体验巅峰倚天屠龙记十大创新概览", "年铁树开花形状似玉米芯", "锌价难续去年辉煌"]),
        ("cp932", ["荷物がまだ届きません", "二重に請求されました", "とても良い商品です、おすすめ"]),
        ("cp949", ["제 주문은 어디에 있나요?", "두 번 결제되었습니다", "비밀번호를 잊어버렸어요"]),
        ("cp950", ["我的包裹在哪裡", "被重複扣款了", "品質很好，推薦購買"]),
        ("cp1250", ["Gdzie jest moja paczka? Proszę o odpowiedź", "Zapłaciłem dwa razy", "Świetny produkt"]),
        ("cp1250", ["Kde je můj balík?", "Příšerná kvalita, nekupujte", "Žádám vrácení peněz"]),
        ("cp1250", ["Hol van a csomagom? Köszönöm", "Törött képernyővel érkezett", "Tűrhető, de drága"]),
        ("cp1254", ["Ürün kırık geldi, iade istiyorum", "Çok güzel, teşekkürler", "Şifremi unuttum"]),
        ("cp1253", ["Πού είναι η παραγγελία μου;", "Χρεώθηκα δύο φορές", "Ξέχασα τον κωδικό μου"]),
        ("cp1255", ["איפה ההזמנה שלי?", "חויבתי פעמיים", "מוצר מצוין, ממליץ"]),
        ("cp1256", ["أين طلبي؟", "تم خصم المبلغ مرتين", "نسيت كلمة المرور"]),
        ("cp1257", ["Kur yra mano siuntinys? Ačiū", "Labai gera kokybė", "Pamiršau slaptažodį"]),
        ("cp874", ["สินค้าของฉันอยู่ที่ไหน", "ถูกเก็บเงินสองครั้ง", "ลืมรหัสผ่าน"]),
        ("koi8-r", ["Очередь на час, ужас", "Где мой заказ?", "Списали деньги дважды"]),
        ("cp1252", ["Não recebi o produto até agora", "Ótima compra, chegou rápido", "Péssimo serviço de atenção"]),
        ("cp1252", ["Var är mitt paket?", "Mycket bra kvalitet, tack för hjälpen", "Går inte att sätta på"]),
        ("cp1252", ["I’m very happy with it", "Don’t buy – it’s “great” only on paper", "It costs £20, not €20"]),
        ("mac-roman", ["Wo bleibt mein Päckchen?", "Schöne Grüße aus München", "Ich hätte gern die Größe geändert"]),
        ("mac-roman", ["El niño comió mañana", "Quisiera la devolución ya", "La señal está débil aquí"]),
    ],
)
def test_legacy_encodings_are_guessed_and_said(tmp_path: Path, encoding: str, texts: list[str]) -> None:
    rows = [(text, "x") for text in texts]
    examples = read_examples(write(tmp_path / "a.csv", as_csv(rows), encoding))
    assert pairs(examples) == rows
    (doubt,) = examples.doubts
    assert doubt.startswith(f"encoding {encoding} (guessed") and "--encoding" in doubt


def test_the_encoding_that_is_given_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", as_csv([("Привет", "x")]), "koi8-r")
    examples = read_examples(path, ReadOptions(encoding="KOI8-R"))
    assert (examples.texts, examples.encoding) == (["Привет"], "koi8-r")


def test_one_broken_byte_deep_in_an_ascii_file_is_a_bad_row(tmp_path: Path) -> None:
    lines = [b"text,label", *(b"text number %d,x" % n for n in range(40_000))]
    lines[29_999] = b"caf\xe9,x"
    path = write(tmp_path / "a.csv", b"\n".join(lines))
    with pytest.raises(BadRowsError) as error:
        read_examples(path)
    assert (error.value.total, error.value.shown[0][0]) == (1, 30_000)
    assert "byte 0xe9 at character 4 is not utf-8" in str(error.value)
    assert "--encoding" in str(error.value)


def test_undecodable_bytes_reach_the_side_file_unchanged(tmp_path: Path) -> None:
    content = "text,label\nüber,x\nschön,x\nKäse,x\n".encode() + b"caf\xe9,x\n"
    examples = read_examples(write(tmp_path / "a.csv", content), ReadOptions(bad_rows="skip"))
    assert examples.texts == ["über", "schön", "Käse"]
    assert examples.encoding == "utf-8"
    assert examples.side_file is not None
    assert b'"caf\xe9,x"' in examples.side_file.read_bytes()


def test_bytes_that_a_legacy_encoding_lacks_are_a_bad_row(tmp_path: Path) -> None:
    content = "text,label\nПривет,x\n".encode("cp1251") + b"\xef\x98,y\nok,z\n"
    examples = read_examples(write(tmp_path / "a.csv", content), ReadOptions(encoding="cp1251", bad_rows="skip"))
    assert examples.texts == ["Привет", "ok"]
    assert examples.side_file is not None
    assert '"п'.encode() + b'\x98,y"' in examples.side_file.read_bytes()


def test_half_a_character_of_utf16_is_a_bad_row(tmp_path: Path) -> None:
    content = "text,label\nПривет,x\n".encode("utf-16") + b"a\0\x00\xd8,\0y\0\n\0"
    examples = read_examples(write(tmp_path / "a.csv", content), ReadOptions(bad_rows="skip"))
    assert (examples.texts, examples.skipped) == (["Привет"], 1)


def test_a_file_that_ends_within_a_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="cannot be decoded: .*truncated.* cut short"):
        read_examples(write(tmp_path / "a.csv", as_csv(ROWS).encode("utf-16")[:-1]))
