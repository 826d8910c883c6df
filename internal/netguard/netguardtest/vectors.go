// Package netguardtest has what is needed to prove that a way out is guarded: URLs that must lead nowhere, a listener
// that must not be reached, public neighbours that must be, and a dialler that puts a local listener behind them.
package netguardtest

import (
	"strconv"
	"strings"
)

// The codes of package netguard, by their values: its own tests use this package.
const (
	codeMalformed = "url_malformed"
	codeTooLong   = "url_too_long"
	codeScheme    = "url_scheme"
	codeUserinfo  = "url_userinfo"
	codeFragment  = "url_fragment"
	codeHost      = "url_host"
	codePort      = "url_port"
	codeNotPublic = "not_public"
)

// maxWebhookURL is the longest destination, in bytes.
const maxWebhookURL = 2048

// Vector is a URL whose destination must never be reached. Its port, where it has one, should be opened, so that no
// vector owes its refusal to the port alone.
type Vector struct {
	URL   string
	Early string // the guard's code for what the text shows already; empty where only the dial can know
}

// Vectors returns all of them. port is the forbidden listener's.
func Vectors(port uint16) []Vector {
	var out []Vector
	add := func(early string, urls ...string) {
		for _, u := range urls {
			out = append(out, Vector{strings.ReplaceAll(u, "{p}", strconv.Itoa(int(port))), early})
		}
	}
	hosts := func(early string, hosts ...string) {
		for _, h := range hosts {
			add(early, "https://"+h+":{p}/hook")
		}
	}

	// IPv4, the ends and the middle of the blocks.
	hosts(codeNotPublic,
		"0.0.0.0", "0.0.0.1", "0.255.255.255", "10.0.0.0", "10.0.0.1", "10.255.255.255",
		"100.64.0.0", "100.64.0.1", "100.100.100.200", "100.127.255.255",
		"127.0.0.0", "127.0.0.1", "127.0.0.2", "127.1.2.3", "127.255.255.254", "127.255.255.255",
		"169.254.0.1", "169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.255.255",
		"172.16.0.0", "172.17.0.1", "172.31.255.255", "192.0.0.0", "192.0.0.8", "192.0.0.10", "192.0.0.170", "192.0.0.192",
		"192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.88.99.2", "192.168.0.1", "192.168.255.255",
		"192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9",
		"224.0.0.1", "233.252.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.254", "255.255.255.255",
		"168.63.129.16",
	)
	// IPv6, and IPv4 in every IPv6 wrapping.
	hosts(codeNotPublic,
		"[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::2]", "[::127.0.0.1]", "[::7f00:1]", "[::8.8.8.8]",
		"[::ffff:127.0.0.1]", "[::FFFF:7F00:1]", "[0:0:0:0:0:ffff:7f00:1]", "[::ffff:0.0.0.0]", "[::ffff:10.0.0.1]",
		"[::ffff:169.254.169.254]", "[::ffff:8.8.8.8]", "[::ffff:0:127.0.0.1]",
		"[64:ff9b::127.0.0.1]", "[64:ff9b::a00:1]", "[64:ff9b::8.8.8.8]", "[64:ff9b:1::127.0.0.1]",
		"[64:ff9b:1:7f00:0:100::]", "[64:ff9b:1:ffff:ffff:ffff:a9fe:a9fe]",
		"[100::1]", "[100:0:0:1::1]", "[200::1]", "[400::1]", "[1000::1]", "[1fff:ffff::1]",
		"[2001::1]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[2001:1::1]", "[2001:2::1]", "[2001:3::1]", "[2001:4:112::1]",
		"[2001:10::1]", "[2001:20::1]", "[2001:2f:ffff::1]", "[2001:30::1]", "[2001:1ff:ffff::1]", "[2001:db8::1]",
		"[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]", "[2002:7f00:1::]", "[2002:a00:1::1]", "[2002:a9fe:a9fe::]", "[2002:808:808::1]",
		"[2606:4700::5efe:127.0.0.1]", "[2606:4700::200:5efe:10.0.0.1]", "[2620:4f:8000::1]",
		"[3fff::1]", "[3fff:fff:ffff::1]", "[4000::1]", "[5f00::1]", "[6000::1]", "[8000::1]", "[c000::1]",
		"[fc00::1]", "[fd00::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[fdff:ffff::1]",
		"[fe00::1]", "[fe80::1]", "[febf::1]", "[fec0::1]", "[ff02::1]", "[ff0e::1]",
	)
	// Zones, and brackets that hold no IPv6 address.
	add(codeHost, "https://[fe80::1%25lo]:{p}/", "https://[fe80::1%25eth0]:{p}/", "https://[::1%25lo]:{p}/")
	add(codeMalformed, "https://[::1%lo]:{p}/", "https://[127.0.0.1]:{p}/", "https://[localhost]:{p}/", "https://[::1/", "https://::1]:{p}/", "https://::1:{p}/")

	// Spellings of IPv4 addresses.
	hosts(codeHost,
		"2130706433", "017700000001", "0x7f000001", "0X7F000001", "0x7f.0x0.0x0.0x1", "0x7f.1", "0177.0.0.1", "0177.0.0.01",
		"127.1", "127.0.1", "127.0.0.01", "127.0.0.1.", "127.1.", "127.0.0.0x1", "0", "0x0", "00000000", "0.0.0.0.", "10.1", "0x",
		"169.254.43518", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "3232235521", "127.0.0.1.0x", "4294967296", "127.0.0.256",
		"134744072", "8.8.8.8.", // a public address in such a spelling is no better
	)
	// Unicode that net/http folds into addresses and private names.
	hosts(codeHost,
		"１２７.０.０.１", "①②⑦.⓪.⓪.①", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "𝟏𝟐𝟕.𝟎.𝟎.𝟏", "１２７。０。０。１",
		"127.0.0.\u00ad1", "1\u00ad27.0.0.1", "２１３０７０６４３３", "０ｘ７ｆ.１", "¹²⁷.⁰.⁰.¹", "127.0.0.1\u3002", "169.254.169.２54",
	)
	hosts(codeNotPublic,
		"ｌｏｃａｌｈｏｓｔ", "loc\u00adalhost", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "LOCALHOST。", "foo。internal", "metadata.google.ｉnternal", "ℓocalhost", "localho\u017ft",
	)
	// Percent-encoding: net/url itself refuses it for ASCII, and decodes the rest.
	add(codeMalformed, "https://%31%32%37.0.0.1:{p}/", "https://127%2e0.0.1:{p}/", "https://%6cocalhost:{p}/", "https://127.0.0.1%00:{p}/", "https://127.0.0.1%0a:{p}/", "https://127.0.0.1%20:{p}/")
	add(codeHost, "https://%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1:{p}/", "https://%E2%93%9Bocalhost:{p}/", "https://127%E3%80%820.0.1:{p}/")
	// Punycode made by hand, and names that no resolver should be asked for.
	hosts(codeHost, "xn--localhost-.test", "xn--127-.0.0.1", "xn--a.test", "xn--zzzzzzzzz99999.test", "-private.test", "private-.test",
		"private..test", ".private.test", "private.test..", "..", ".", strings.Repeat("a", 64)+".test", strings.Repeat("a.", 126)+"test",
		"private!.test", "private*.test", "private,public.test", "private'test.test")

	// Private names.
	hosts(codeNotPublic,
		"localhost", "LocalHost", "localhost.", "foo.localhost", "a.b.localhost", "localhost.localdomain", "ip6-localhost", "broadcasthost",
		"printer", "kubernetes", "metadata", "metadata.google.internal", "METADATA.GOOGLE.INTERNAL.", "instance-data.ec2.internal",
		"host.docker.internal", "nas.local", "router.lan", "nas.home.arpa", "gitlab.corp", "box.home", "wiki.intranet", "db.private",
		"kubernetes.default.svc.cluster.local",
	)
	// Names that only their addresses give away.
	hosts("",
		"private.test", "PRIVATE.test", "private.test.", "private\u00ad.test", "ｐｒｉｖａｔｅ.test", "private。test", "loopback6.test", "any.test", "any6.test",
		"127.0.0.1.nip.io", "7f000001.nip.io", "10-0-0-1.sslip.io", "localtest.me", "lvh.me", "metadata.nip.io", "metadata6.test",
		"mapped.test", "compatible.test", "nat64.test", "sixtofour.test", "teredo.test", "ula.test", "linklocal6.test", "isatap.test",
		"mixed-first.test", "mixed-last.test", "mixed-families.test", "mixed-many.test", "cname.test", "private_host.test", "xn--prvat-5ra.test",
		"broadcast.test", "multicast.test", "shared.test", "azure.test",
	)

	// The URL's other parts. Each points at the listener as well.
	add(codeUserinfo, "https://public.test@127.0.0.1:{p}/", "https://public.test:443@127.0.0.1:{p}/", "https://a:b@127.0.0.1:{p}/", "https://@127.0.0.1:{p}/",
		"https://public.test%2f@127.0.0.1:{p}/", "https://public.test%00@127.0.0.1:{p}/", "https://127.0.0.1:{p}@localhost:{p}/")
	add(codeFragment, "https://127.0.0.1:{p}/#public.test", "https://127.0.0.1:{p}#@public.test/", "https://127.0.0.1:{p}/#")
	add(codeMalformed,
		`https://127.0.0.1:{p}\@public.test/`, `https://public.test\@127.0.0.1:{p}/`, `https:\\127.0.0.1:{p}\`, `https://127.0.0.1:{p}/\..\`,
		"https://127.0.0.1:{p}/\thook", "https://127.0.0.1:{p}/\nhook", "https://127.0.0.1:{p}/\rhook", " https://127.0.0.1:{p}/", "https://127.0.0.1:{p}/ ",
		"https://127.0.0.1 :{p}/", "https://127.0\t.0.1:{p}/", "ht\ntps://127.0.0.1:{p}/", "https://127.0.0.1:{p}/\x00", "https://127.0.0.1:{p}/\x7f",
		"https://127.0.0.1:{p}/\u0085", "https://127.0.0.1:{p}/\u009f", "https://127.0.0.1:{p}/\u2028", "https://127.0.0.1:{p}/\u00a0", "https://127.0.0.1:{p}/\xff", "https://127.0.0.1\xc0\xae:{p}/",
		"https://127.0.0.1:{p}/%zz", "https://127.0.0.1:{p}:443/", "https://127.0.0.1:x/", "https://127.0.0.1:-1/", "https://127.0.0.1:+{p}/", "://127.0.0.1:{p}/",
		"https://127.0.0.1:٤٤٣/")
	add(codeHost, "https://", "https:///127.0.0.1:{p}/", "https:127.0.0.1:{p}", "https:/127.0.0.1:{p}/", "https://:{p}/", "https://?@127.0.0.1:{p}/")
	add(codeScheme, "http://127.0.0.1:{p}/", "HTTP://127.0.0.1:{p}/", "ftp://127.0.0.1:{p}/", "file:///etc/passwd", "gopher://127.0.0.1:{p}/_x", "ws://127.0.0.1:{p}/",
		"unix:///run/docker.sock", "data:text/plain,x", "javascript:alert(1)", "//127.0.0.1:{p}/", "127.0.0.1", "/hook", "", "httpsx://127.0.0.1:{p}/",
		"dict://127.0.0.1:{p}/", "ldap://127.0.0.1:{p}/", "jar:https://127.0.0.1:{p}!/")
	add(codePort, "https://127.0.0.1:0/", "https://127.0.0.1:65536/", "https://127.0.0.1:99999/", "https://93.184.216.34:22/", "https://93.184.216.34:25/",
		"https://93.184.216.34:81/", "https://public.test:6379/", "https://public.test:00022/", "https://[2606:4700:4700::1111]:53/", "https://public.test:18446744073709552059/")
	add(codeTooLong, "https://127.0.0.1:{p}/"+strings.Repeat("a", maxWebhookURL), "https://"+strings.Repeat("a.", 2000)+"test:{p}/")
	add(codeNotPublic, "https://127.0.0.1/", "https://127.0.0.1:/", "https://127.0.0.1:22/", "https://[::1]:/", "HTTPS://LOCALHOST:{p}/", "https://127.0.0.1:000{p}/",
		"https://127.0.0.1:{p}/public.test", "https://127.0.0.1:{p}?@public.test", "https://127.0.0.1:{p}/../@public.test")
	return out
}

// Names is what the names in the vectors resolve to.
func Names() map[string][]string {
	return map[string][]string{
		"public.test":       {"93.184.216.34"},
		"private.test":      {"127.0.0.1"},
		"loopback6.test":    {"::1"},
		"any.test":          {"0.0.0.0"},
		"any6.test":         {"::"},
		"127.0.0.1.nip.io":  {"127.0.0.1"},
		"7f000001.nip.io":   {"127.0.0.1"},
		"10-0-0-1.sslip.io": {"10.0.0.1"},
		"localtest.me":      {"127.0.0.1", "::1"},
		"lvh.me":            {"127.0.0.1"},
		"metadata.nip.io":   {"169.254.169.254"},
		"metadata6.test":    {"fd00:ec2::254"},
		"mapped.test":       {"::ffff:127.0.0.1"},
		"compatible.test":   {"::127.0.0.1"},
		"nat64.test":        {"64:ff9b::7f00:1"},
		"sixtofour.test":    {"2002:7f00:1::"},
		"teredo.test":       {"2001:0:4136:e378:8000:63bf:80ff:fffe"},
		"ula.test":          {"fd00::1"},
		"linklocal6.test":   {"fe80::1"},
		"isatap.test":       {"2606:4700::5efe:7f00:1"},
		"mixed-first.test":  {"127.0.0.1", "93.184.216.34"},
		"mixed-last.test":   {"93.184.216.34", "127.0.0.1"},
		"mixed-families.test": {
			"2606:4700:4700::1111", "127.0.0.1"},
		"mixed-many.test": {
			"93.184.216.34", "93.184.216.35", "93.184.216.36", "93.184.216.37", "93.184.216.38", "93.184.216.39", "10.0.0.1"},
		"cname.test":         {"192.168.1.1"}, // resolvers follow the chain and answer with its end
		"private_host.test":  {"127.0.0.1"},
		"xn--prvat-5ra.test": {"127.0.0.1"},
		"broadcast.test":     {"255.255.255.255"},
		"multicast.test":     {"224.0.0.1"},
		"shared.test":        {"100.64.0.1"},
		"azure.test":         {"168.63.129.16"},
	}
}

// PublicNeighbours are the addresses right beside the refused blocks, and some well-known public ones. They must stay
// reachable: a guard that refuses too much gets switched off.
func PublicNeighbours() []string {
	return []string{
		"1.0.0.0", "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.216.34",
		"100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0",
		"172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.1.255", "192.0.3.0",
		"192.31.195.255", "192.31.197.0", "192.52.192.255", "192.52.194.0", "192.88.98.255", "192.88.100.0",
		"192.167.255.255", "192.169.0.0", "192.175.47.255", "192.175.49.0",
		"198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
		"2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::", "2001:4860:4860::8888",
		"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::",
		"2606:4700:4700::1111", "2606:4700::5efe:8.8.8.8", "2606:4700::5eff:127.0.0.1", "2606:4700::100:5efe:127.0.0.1", "2606:4700::7f00:1",
		"2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::", "2a00:1450:4001::1",
		"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	}
}
