package kinora

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
)

// The paths of webhook URLs are often secrets by themselves: whoever knows one can post there. Three forms leave more and more out.

// briefPath is how much of a URL's path BriefURL leaves, in bytes of its escaped form: enough to know again what it is, too little to be a secret.
const briefPath = 8

// ShownURL is a caller's URL without what may be a secret in its query, and without a user's name and password. It says that they
// were there. The path is whole: for those who may change the URL, and for operators. Empty stays empty.
func ShownURL(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil {
		return unreadableURL
	}
	if u.User != nil {
		u.User = url.User("redacted")
	}
	if u.RawQuery != "" {
		u.RawQuery = "redacted"
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String()
}

const unreadableURL = "[unreadable]"

// BriefURL is what of a webhook's URL those may see who may not change it: scheme, host, and the first characters of the path, then "…"
// where there is more. Empty stays empty.
func BriefURL(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil {
		return unreadableURL
	}
	path := u.EscapedPath()
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	shown := first[:min(len(first), briefPath)]
	brief := originOf(u)
	if path != "" {
		brief += "/" + shown
	}
	switch {
	case shown == first && rest != "":
		return brief + "/…"
	case shown != first || u.RawQuery != "" || u.User != nil || u.Opaque != "":
		return brief + "…"
	}
	return brief
}

// AuditURL is what the audit log keeps of a webhook's URL: scheme and host, and behind "/…#" eight digits of a hash of the whole URL, so that two
// at one host can be told apart. Empty for what is empty or cannot be read; nothing but scheme and host is only these.
func AuditURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || text == "" {
		return ""
	}
	origin := originOf(u)
	if text == origin || text == origin+"/" {
		return origin
	}
	sum := sha256.Sum256([]byte(text))
	return origin + "/…#" + hex.EncodeToString(sum[:4])
}

func originOf(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}
