package kinora

import (
	"strings"
	"testing"
)

func TestThreeFormsOfAURL(t *testing.T) {
	const slack = "https://hooks.slack.com/services/T012/B345/s3cr3t"
	for _, c := range []struct{ url, shown, brief string }{
		{"", "", ""},
		{"https://a.example", "https://a.example", "https://a.example"},
		{"https://a.example/", "https://a.example/", "https://a.example/"},
		{"https://a.example/hook", "https://a.example/hook", "https://a.example/hook"},
		{slack, slack, "https://hooks.slack.com/services/…"},
		{"https://hook.make.example/k3jd84hfkq0", "https://hook.make.example/k3jd84hfkq0", "https://hook.make.example/k3jd84hf…"},
		{"https://u:p@a.example:8443/x?token=t#f", "https://redacted@a.example:8443/x?redacted", "https://a.example:8443/x…"},
		{"https://a.example?token=t", "https://a.example?redacted", "https://a.example…"},
		{"https://a.example/%0a%1b%5b31m/x", "https://a.example/%0a%1b%5b31m/x", "https://a.example/%0a%1b%5…"},
		{"https://a.example/%zz", unreadableURL, unreadableURL},
	} {
		if got := ShownURL(c.url); got != c.shown {
			t.Errorf("ShownURL(%q) = %q, want %q", c.url, got, c.shown)
		}
		if got := BriefURL(c.url); got != c.brief {
			t.Errorf("BriefURL(%q) = %q, want %q", c.url, got, c.brief)
		}
	}
}

// The audit log tells two webhooks of one host apart, and is no way to either.
func TestAuditURL(t *testing.T) {
	one, other := AuditURL("https://hooks.slack.com/services/T012/B345/s3cr3t"), AuditURL("https://hooks.slack.com/services/T012/B345/0ther")
	if one == other || AuditURL("https://hooks.slack.com/services/T012/B345/s3cr3t") != one {
		t.Errorf("%s and %s are not told apart", one, other)
	}
	if !strings.HasPrefix(one, "https://hooks.slack.com/…#") || strings.Contains(one, "T012") || len(one) != len("https://hooks.slack.com/…#")+8 {
		t.Errorf("AuditURL = %q", one)
	}
	if AuditURL("https://a.example/x?token=1") == AuditURL("https://a.example/x?token=2") {
		t.Error("two tokens are one")
	}
	for url, want := range map[string]string{"": "", "https://a.example": "https://a.example", "https://a.example/": "https://a.example", "https://a.example/%zz": ""} {
		if got := AuditURL(url); got != want {
			t.Errorf("AuditURL(%q) = %q, want %q", url, got, want)
		}
	}
}
