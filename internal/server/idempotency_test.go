package server

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
)

func TestRequiredIdempotencyKey(t *testing.T) {
	for name, test := range map[string]struct {
		values []string
		want   string
		code   kinora.ErrorCode
	}{
		"missing":   {nil, "", errMalformed},
		"empty":     {[]string{""}, "", errMalformed},
		"two":       {[]string{"a", "b"}, "", errMalformed},
		"line end":  {[]string{"a\nb"}, "", errMalformed},
		"not ASCII": {[]string{"é"}, "", errMalformed},
		"too long":  {[]string{strings.Repeat("k", 256)}, "", errMalformed},
		"longest":   {[]string{strings.Repeat("k", 255)}, strings.Repeat("k", 255), ""},
		"free text": {[]string{"generation-listing-123-lr-1"}, "generation-listing-123-lr-1", ""},
	} {
		got, err := requiredIdempotencyKey(http.Header{"Idempotency-Key": test.values})
		if got != test.want || kinora.CodeOf(err) != test.code {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// A key is good for one method on one path: what one job was regenerated with says nothing about another.
func TestIdempotencyScopeHoldsTheJob(t *testing.T) {
	one := idempotencyOf(httptest.NewRequest("POST", "/api/v1/generations/job_a/regenerate?x=1", nil), "k", "h")
	two := idempotencyOf(httptest.NewRequest("POST", "/api/v1/generations/job_b/regenerate", nil), "k", "h")
	if one.Scope != "POST /api/v1/generations/job_a/regenerate" || two.Scope == one.Scope || one.Key != "k" || one.RequestHash != "h" {
		t.Errorf("%+v, %+v", one, two)
	}
}

func TestFormDigest(t *testing.T) {
	make := func(fill func(d *formDigest)) string {
		var d formDigest
		fill(&d)
		return d.hash()
	}
	photo, other := sha256.Sum256([]byte("photo")), sha256.Sum256([]byte("other"))
	want := make(func(d *formDigest) {
		d.field("room_types", "Kitchen")
		d.field("room_types", "Bathroom")
		d.file("file", photo)
	})
	if same := make(func(d *formDigest) {
		d.file("file", photo)
		d.field("room_types", "Kitchen")
		d.field("room_types", "Bathroom")
	}); same != want {
		t.Error("the order of different fields counts")
	}
	for name, differs := range map[string]string{
		"another file": make(func(d *formDigest) {
			d.field("room_types", "Kitchen")
			d.field("room_types", "Bathroom")
			d.file("file", other)
		}),
		"order of values": make(func(d *formDigest) {
			d.field("room_types", "Bathroom")
			d.field("room_types", "Kitchen")
			d.file("file", photo)
		}),
		"a value missing": make(func(d *formDigest) { d.field("room_types", "Kitchen"); d.file("file", photo) }),
		"file as a value": make(func(d *formDigest) {
			d.field("room_types", "Kitchen")
			d.field("room_types", "Bathroom")
			d.field("file", string(photo[:]))
		}),
	} {
		if differs == want {
			t.Errorf("%s makes no difference", name)
		}
	}
}

// Two forms share a digest only when they are one form.
func TestFormDigestTellsFormsApart(t *testing.T) {
	fields := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [2]string {
		return [2]string{rapid.StringMatching(`[ab:1]{0,3}`).Draw(t, "name"), rapid.StringMatching(`[ab:1]{0,3}`).Draw(t, "value")}
	}), 0, 3)
	values := func(list [][2]string) map[string]string {
		m := map[string]string{}
		for _, f := range list {
			m[f[0]] += "|" + f[1]
		}
		return m
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := fields.Draw(t, "a"), fields.Draw(t, "b")
		var da, db formDigest
		for _, f := range a {
			da.field(f[0], f[1])
		}
		for _, f := range b {
			db.field(f[0], f[1])
		}
		va, vb := values(a), values(b)
		same := len(va) == len(vb)
		for k, v := range va {
			w, ok := vb[k]
			same = same && ok && v == w
		}
		if same != (da.hash() == db.hash()) {
			t.Fatalf("%q and %q: same %v", a, b, same)
		}
	})
}
