package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func ring(t testing.TB, keys ...Key) *Ring {
	t.Helper()
	r, err := NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testKey(b byte) Key {
	var k Key
	for i := range k.bytes {
		k.bytes[i] = b + byte(i)
	}
	return k
}

func TestRoundTrip(t *testing.T) {
	r := ring(t, testKey(1))
	rapid.Check(t, func(t *rapid.T) {
		plaintext := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plaintext")
		context := rapid.String().Draw(t, "context")
		a, err := r.Seal(plaintext, context)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := r.Seal(plaintext, context)
		if a == b {
			t.Fatal("sealing twice gave the same text: the nonce was reused")
		}
		got, err := r.Open(a, context)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("Open = %x, %v; want %x", got, err, plaintext)
		}
		if _, err := r.Open(a, context+"x"); !errors.Is(err, ErrTampered) {
			t.Fatalf("Open in another context: %v, want ErrTampered", err)
		}
	})
}

// Every single changed character has to be noticed, wherever it stands.
func TestEveryChangeIsNoticed(t *testing.T) {
	r := ring(t, testKey(1))
	sealed, err := r.Seal([]byte("whsec_secret"), "row/1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		for _, c := range []byte{'A', 'b', '0', '.', '-', '\n', 0xff} {
			if sealed[i] == c {
				continue
			}
			changed := sealed[:i] + string([]byte{c}) + sealed[i+1:]
			if got, err := r.Open(changed, "row/1"); err == nil {
				t.Errorf("byte %d changed to %q opened to %q", i, c, got)
			}
		}
		if _, err := r.Open(sealed[:i], "row/1"); err == nil {
			t.Errorf("the text cut to %d bytes opened", i)
		}
	}
}

func TestErrorsAreTypedAndSaySecretsOfNobody(t *testing.T) {
	r := ring(t, testKey(1))
	sealed, _ := r.Seal([]byte("top-secret"), "c")
	other, _ := ring(t, testKey(7)).Seal([]byte("top-secret"), "c")
	for name, tc := range map[string]struct {
		text string
		want error
	}{
		"empty":        {"", ErrMalformed},
		"plain":        {"top-secret", ErrMalformed},
		"version":      {"s9" + sealed[2:], ErrMalformed},
		"no body":      {"s1.00000000", ErrMalformed},
		"no id":        {"s1..AAAA", ErrMalformed},
		"not base64":   {"s1.00000000.top-secret!", ErrMalformed},
		"line end":     {sealed + "\n", ErrMalformed},
		"another key":  {other, ErrUnknownKey},
		"short body":   {sealed[:strings.LastIndexByte(sealed, '.')+1] + "AAAA", ErrTampered},
		"empty body":   {sealed[:strings.LastIndexByte(sealed, '.')+1], ErrTampered},
		"longer":       {sealed + "AAAA", ErrTampered},
		"wrong id too": {"s1.ffffffff" + sealed[strings.LastIndexByte(sealed, '.'):], ErrUnknownKey},
	} {
		got, err := r.Open(tc.text, "c")
		if !errors.Is(err, tc.want) || got != nil {
			t.Errorf("%s: Open = %q, %v; want %v", name, got, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "top-secret") {
			t.Errorf("%s: the error repeats the text: %v", name, err)
		}
	}
}

func TestRotation(t *testing.T) {
	older, newer := testKey(1), testKey(2)
	before := ring(t, older)
	sealed, err := before.Seal([]byte("x"), "c")
	if err != nil {
		t.Fatal(err)
	}
	during := ring(t, newer, older, newer)
	if got, err := during.Open(sealed, "c"); err != nil || string(got) != "x" {
		t.Fatalf("the new ring cannot open what the old key sealed: %q, %v", got, err)
	}
	if !during.Stale(sealed) || before.Stale(sealed) || during.Stale("not sealed") {
		t.Error("Stale has to be true for what an older key sealed, and for nothing else")
	}
	again, _ := during.Seal([]byte("x"), "c")
	if during.Stale(again) {
		t.Error("what was just sealed is stale")
	}
	if _, err := before.Open(again, "c"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("the old ring opened the new text: %v", err)
	}
	all := during.DeriveAll("p", 32)
	if len(all) != 2 || !bytes.Equal(all[0], during.Derive("p", 32)) || !bytes.Equal(all[1], before.Derive("p", 32)) {
		t.Error("DeriveAll has to give each different key's result, the current one's first")
	}
}

// sealed is "kept", sealed with testKey(1) for "row/1" by the first version of this package.
const sealed = "s1.f79e62f4.AJajcZ7xuMi0cE2k_QszdOy4-5-PpdvE0YucYwF6JHk"

// The values are pinned: another result after an update would void every signed URL and
// make every sealed text unreadable.
func TestDerivationIsStable(t *testing.T) {
	r := ring(t, testKey(1))
	if got, want := hex.EncodeToString(r.Derive("file-urls", 32)), "bb807f59f0a80cfbcdbc77d4dfa9f67026dbc5178def028c9833d8084eb413d8"; got != want {
		t.Errorf("Derive = %s, want %s", got, want)
	}
	if got, err := r.Open(sealed, "row/1"); err != nil || string(got) != "kept" {
		t.Errorf("a text sealed by an earlier version opens to %q, %v", got, err)
	}
	if bytes.Equal(r.Derive("a", 32), r.Derive("b", 32)) {
		t.Error("two purposes share a key")
	}
	if len(r.Derive("a", 8160)) != 8160 {
		t.Error("Derive does not give the length that was asked for")
	}
}

func TestNewRingNeedsKeys(t *testing.T) {
	for name, keys := range map[string][]Key{"none": nil, "zero": {{}}, "zero behind a real one": {testKey(1), {}}} {
		if _, err := NewRing(keys...); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: %v, want ErrNoKey", name, err)
		}
	}
}

func TestParseKey(t *testing.T) {
	k := testKey(200)
	raw := k.bytes[:]
	for name, text := range map[string]string{
		"hex":              hex.EncodeToString(raw),
		"upper-case hex":   strings.ToUpper(hex.EncodeToString(raw)),
		"base64":           base64.StdEncoding.EncodeToString(raw),
		"base64url":        base64.URLEncoding.EncodeToString(raw),
		"unpadded":         base64.RawStdEncoding.EncodeToString(raw),
		"unpadded url":     base64.RawURLEncoding.EncodeToString(raw),
		"white space":      "  " + k.Text() + "\n",
		"its own Text()":   k.Text(),
		"64 digits, mixed": strings.ToUpper(hex.EncodeToString(raw)[:10]) + hex.EncodeToString(raw)[10:],
	} {
		if got, err := ParseKey(text); err != nil || got != k {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "word": "correct-horse", "31 bytes": hex.EncodeToString(raw[:31]), "33 bytes": hex.EncodeToString(append(raw, 1)),
		"short base64": base64.StdEncoding.EncodeToString(raw[:16]), "line end inside": k.Text()[:20] + "\n" + k.Text()[20:],
	} {
		_, err := ParseKey(text)
		if !errors.Is(err, ErrKeyFormat) {
			t.Errorf("%s: %v, want ErrKeyFormat", name, err)
		} else if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the error repeats the text", name)
		}
	}
}

func TestKeyNeverPrints(t *testing.T) {
	k := testKey(65) // prints as letters
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "ring", fmt.Sprint(struct{ K Key }{k}))
	for _, text := range []string{
		fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s %x %d", k, k, k, k, k, k), k.String(), log.String(),
		fmt.Sprintf("%+v %#v", struct{ K Key }{k}, []Key{k}),
	} {
		for _, leak := range []string{"ABCDEF", k.Text(), hex.EncodeToString(k.bytes[:4]), "65 66", "0x41"} {
			if strings.Contains(text, leak) {
				t.Errorf("%q shows the key", text)
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	r := ring(f, testKey(1))
	for _, s := range []string{sealed, "", "s1..", "s1.00000000.", "s1", strings.Repeat(".", 5)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := r.Open(text, "row/1")
		if err == nil && text != sealed {
			t.Fatalf("%q opened to %q", text, got)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(testKey(1).Text())
	f.Add(hex.EncodeToString(make([]byte, 32)))
	f.Add("=")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKey(text)
		if err != nil {
			return
		}
		if again, err := ParseKey(k.Text()); err != nil || again != k {
			t.Fatalf("Text of %q does not read back: %v", text, err)
		}
	})
}

// A ring changes as a whole, and keeps what it had when the new keys are of no use.
func TestReplace(t *testing.T) {
	old, current := NewKey(), NewKey()
	r, err := NewRing(old)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := r.Seal([]byte("text"), "row")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Replace(); err == nil || !slices.Equal(r.IDs(), []string{old.ID()}) {
		t.Errorf("without keys: %v, ids %v", err, r.IDs())
	}
	if err := r.Replace(current, Key{}); err == nil || r.Stale(sealed) {
		t.Errorf("with an empty key: %v", err)
	}
	if err := r.Replace(current, old, current); err != nil || !slices.Equal(r.IDs(), []string{current.ID(), old.ID()}) {
		t.Errorf("%v, ids %v", err, r.IDs())
	}
	if text, err := r.Open(sealed, "row"); err != nil || string(text) != "text" || !r.Stale(sealed) || KeyOf(sealed) != old.ID() {
		t.Errorf("what the older key sealed: %q, %v", text, err)
	}
	if err := r.Replace(current); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(sealed, "row"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("with the older key gone: %v", err)
	}
	if KeyOf("s1.") != "" || KeyOf("plain") != "" {
		t.Error("an id was found where none is")
	}
}
