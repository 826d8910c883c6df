package blob_test

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora/internal/blob"
)

var signingTime = time.Date(2026, 9, 21, 14, 15, 0, 0, time.UTC)

func signingKey(b byte) []byte { return bytes.Repeat([]byte{b}, blob.MinSigningKeyBytes) }

func newSigner(t testing.TB, keys ...[]byte) *blob.Signer {
	t.Helper()
	s, err := blob.NewSigner(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The signature was computed outside this program, with OpenSSL, under signingKey('k').
const (
	vectorPath  = "/files/out/a.png"
	vectorQuery = "exp=1790000000&n=AAAAAAAAAAAA&sig=E-k-wtOXD-3duKamrG0Xo9XGlx95JP5T7nTFSYi8U10"
)

// TestSignerVector pins the scheme: URLs that are out must stay valid across versions.
func TestSignerVector(t *testing.T) {
	s := newSigner(t, signingKey('k'))
	expires, err := s.Verify(vectorPath, vectorQuery, time.Unix(1789999999, 0))
	if err != nil || !expires.Equal(time.Unix(1790000000, 0)) {
		t.Errorf("Verify = %v, %v", expires, err)
	}
}

func TestSignerExpiry(t *testing.T) {
	s := newSigner(t, signingKey('k'))
	expires := signingTime.Add(15 * time.Minute)
	query := s.Sign("/files/a.png", expires.Add(999*time.Millisecond))
	for _, test := range []struct {
		now  time.Time
		want error
	}{
		{signingTime, nil},
		{signingTime.Add(-time.Hour), nil},
		{expires.Add(-time.Nanosecond), nil},
		{expires, blob.ErrExpired},
		{expires.Add(time.Hour), blob.ErrExpired},
	} {
		got, err := s.Verify("/files/a.png", query, test.now)
		if !errors.Is(err, test.want) || !got.Equal(expires) {
			t.Errorf("at %v: Verify = %v, %v; want %v, %v", test.now, got, err, expires, test.want)
		}
	}
}

func TestSignerMakesFreshURLs(t *testing.T) {
	s := newSigner(t, signingKey('k'))
	expires := signingTime.Add(time.Minute)
	first, second := s.Sign("/files/a.png", expires), s.Sign("/files/a.png", expires)
	if first == second {
		t.Error("two URLs for one object at one time are equal")
	}
	for _, query := range []string{first, second} {
		if _, err := s.Verify("/files/a.png", query, signingTime); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestSignerRotation(t *testing.T) {
	old, other := newSigner(t, signingKey('o')), newSigner(t, signingKey('x'))
	rotated := newSigner(t, signingKey('n'), signingKey('o'))
	expires := signingTime.Add(time.Minute)
	verify := func(s *blob.Signer, query string) error {
		_, err := s.Verify("/files/a.png", query, signingTime)
		return err
	}
	before, after := old.Sign("/files/a.png", expires), rotated.Sign("/files/a.png", expires)
	if err := verify(rotated, before); err != nil {
		t.Errorf("a URL of before the rotation: %v", err)
	}
	if err := verify(rotated, after); err != nil {
		t.Errorf("a URL of after the rotation: %v", err)
	}
	if err := verify(old, after); !errors.Is(err, blob.ErrSignature) {
		t.Errorf("the old key alone takes a URL of the new one: %v", err)
	}
	if err := verify(other, before); !errors.Is(err, blob.ErrSignature) {
		t.Errorf("a strange key takes the URL: %v", err)
	}
}

func TestSignerKeys(t *testing.T) {
	for name, keys := range map[string][][]byte{
		"none": nil, "empty": {{}}, "short": {make([]byte, blob.MinSigningKeyBytes-1)}, "short old one": {signingKey('k'), make([]byte, 8)},
	} {
		if _, err := blob.NewSigner(keys...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	key := signingKey('k')
	s := newSigner(t, key)
	query := s.Sign("/files/a.png", signingTime.Add(time.Minute))
	clear(key) // the caller may wipe its copy
	if _, err := s.Verify("/files/a.png", query, signingTime); err != nil {
		t.Error(err)
	}
}

func TestSignerRefuses(t *testing.T) {
	s := newSigner(t, signingKey('k'))
	const path = "/files/out/a.png"
	good := s.Sign(path, signingTime.Add(time.Minute))
	values, err := url.ParseQuery(good)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name, value string) string {
		changed := url.Values{}
		for k, v := range values {
			changed[k] = v
		}
		changed.Set(name, value)
		return changed.Encode()
	}
	exp, sig := values.Get("exp"), values.Get("sig")
	for name, query := range map[string]string{
		"empty":              "",
		"no signature":       strings.Split(good, "&sig")[0],
		"empty signature":    with("sig", ""),
		"short signature":    with("sig", sig[:len(sig)-4]),
		"long signature":     with("sig", sig+"AAAA"),
		"padded signature":   with("sig", sig+"="),
		"other spelling":     with("sig", otherSpelling(sig)),
		"line end in it":     with("sig", sig[:4]+"\n"+sig[4:]),
		"later expiry":       with("exp", "1999999999"),
		"same expiry, zeros": with("exp", "0"+exp),
		"same expiry, plus":  with("exp", "+"+exp),
		"same expiry, space": with("exp", " "+exp),
		"expiry not number":  with("exp", "soon"),
		"expiry overflows":   with("exp", "99999999999999999999"),
		"negative expiry":    with("exp", "-1"),
		"other nonce":        with("n", "AAAAAAAAAAAA"),
		"empty nonce":        with("n", ""),
		"nonce not base64":   with("n", "a\nb"),
		"twice exp":          good + "&exp=1999999999",
		"twice exp in front": "exp=1999999999&" + good,
		"twice sig":          good + "&sig=" + sig,
		"twice nonce":        good + "&n=" + values.Get("n"),
		"semicolons":         strings.ReplaceAll(good, "&", ";"),
		"bad escape":         good + "&x=%zz",
		"very long":          good + "&x=" + strings.Repeat("y", 4000),
	} {
		if _, err := s.Verify(path, query, signingTime); !errors.Is(err, blob.ErrSignature) {
			t.Errorf("%s: Verify(%q) = %v, want ErrSignature", name, query, err)
		}
	}
	for _, other := range []string{"", "/files/out/a.pn", "/files/out/a.png/", "/files/out/b.png", "/files/out//a.png", "/FILES/out/a.png", "out/a.png"} {
		if _, err := s.Verify(other, good, signingTime); !errors.Is(err, blob.ErrSignature) {
			t.Errorf("Verify for path %q = %v, want ErrSignature", other, err)
		}
	}
	// Expired is said only of a URL that was valid once.
	if _, err := s.Verify(path, with("exp", "1"), signingTime); !errors.Is(err, blob.ErrSignature) {
		t.Errorf("an expiry of somebody's making: %v", err)
	}
	if _, err := s.Verify(path, good+"&utm_source=x", signingTime); err != nil {
		t.Errorf("a parameter that somebody appended: %v", err)
	}
}

// otherSpelling changes the bits of the last character that stand for nothing.
func otherSpelling(sig string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, sig[len(sig)-1])
	return sig[:len(sig)-1] + string(alphabet[last^1])
}

func TestSignerURL(t *testing.T) {
	s := newSigner(t, signingKey('k'))
	expires := signingTime.Add(time.Minute)
	for _, base := range []string{"https://media.example.com", "https://media.example.com/", "http://127.0.0.1:8080/behind/a/proxy"} {
		for _, key := range []string{"a.png", "out/2026/11/22/out_01.mp4", "temp/a b+c%20d?e#f&g=h;i/衣 服.webm", "x/'\"<>`^|{}.gif"} {
			made, err := s.URL(base, key, expires)
			if err != nil {
				t.Errorf("URL(%q): %v", key, err)
				continue
			}
			u, err := url.Parse(made)
			if err != nil || !strings.HasPrefix(made, strings.TrimSuffix(base, "/")+blob.FilesPath) {
				t.Errorf("URL(%q) = %q (%v)", key, made, err)
				continue
			}
			beforeQuery, _, _ := strings.Cut(made, "?")
			if !strings.HasSuffix(beforeQuery, key[strings.LastIndexByte(key, '.'):]) {
				t.Errorf("the path of %q does not end in the extension", made)
			}
			_, path, _ := strings.Cut(u.Path, strings.TrimSuffix(blob.FilesPath, "/"))
			path = strings.TrimSuffix(blob.FilesPath, "/") + path // as it is once the proxy has taken its own part off
			if _, err := s.Verify(path, u.RawQuery, signingTime); err != nil {
				t.Errorf("the URL of %q is not valid: %v", key, err)
			}
			if got, err := blob.KeyOf(path); err != nil || got != key {
				t.Errorf("KeyOf(%q) = %q, %v; want %q", path, got, err, key)
			}
		}
	}
	for _, key := range []string{"", "out/a", "out/a.", "../a.png", "/a.png", "out.d/a"} {
		if made, err := s.URL("https://media.example.com", key, expires); !errors.Is(err, blob.ErrInvalidKey) {
			t.Errorf("URL(%q) = %q, %v; want ErrInvalidKey", key, made, err)
		}
	}
}

func TestKeyOf(t *testing.T) {
	for _, path := range []string{"", "/", "/files", "/files/", "/files//a.png", "/files/../a.png", "/files/.tmp/x", "/file/a.png", "files/a.png", "/files/a\x00.png"} {
		if key, err := blob.KeyOf(path); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("KeyOf(%q) = %q, %v; want ErrNotFound", path, key, err)
		}
	}
}

// TestSignerBindsAll: no two different triples of path, expiry and query are interchangeable.
func TestSignerBindsAll(t *testing.T) {
	s := newSigner(t, signingKey('k'))
	rapid.Check(t, func(t *rapid.T) {
		path, other := rapid.String().Draw(t, "path"), rapid.String().Draw(t, "other")
		expires := time.Unix(rapid.Int64Range(1, 99_999_999_999).Draw(t, "expires"), 0)
		query := s.Sign(path, expires)
		got, err := s.Verify(path, query, expires.Add(-time.Second))
		if err != nil || !got.Equal(expires) {
			t.Fatalf("Verify = %v, %v; want %v", got, err, expires)
		}
		if _, err := s.Verify(other, query, expires.Add(-time.Second)); other != path && !errors.Is(err, blob.ErrSignature) {
			t.Fatalf("valid for %q and for %q", path, other)
		}
		at := rapid.IntRange(0, len(query)-1).Draw(t, "at")
		changed := []byte(query)
		changed[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		if _, err := s.Verify(path, string(changed), expires.Add(-time.Second)); err == nil {
			t.Fatalf("changed at %d from %q to %q, it is still valid", at, query, changed)
		}
	})
}

func FuzzSignerVerify(f *testing.F) {
	s := newSigner(f, signingKey('k'))
	for _, query := range []string{"", vectorQuery, "exp=1&n=a&sig=b", "exp=&n=&sig=", "sig=%", "exp=1;n=1", "exp=9223372036854775808&n=AAAA&sig=AAAA"} {
		f.Add(vectorPath, query)
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		if _, err := s.Verify(path, query, time.Unix(1789999999, 0)); err != nil {
			return
		}
		// Only a rewriting of the one valid query may pass.
		want, _ := url.ParseQuery(vectorQuery)
		got, _ := url.ParseQuery(query)
		if path != vectorPath || got.Get("sig") != want.Get("sig") || got.Get("exp") != want.Get("exp") || got.Get("n") != want.Get("n") {
			t.Errorf("Verify(%q, %q) succeeds", path, query)
		}
	})
}
