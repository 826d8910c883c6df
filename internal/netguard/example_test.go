package netguard_test

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/kinora/kinora/internal/netguard"
)

func ExampleGuard_CheckURL() {
	guard := netguard.New(netguard.Config{})
	for _, raw := range []string{
		"https://Hooks.Example.com.:443/generation",
		"https://169.254.169.254/latest/meta-data/",
		"https://user@example.com/",
	} {
		u, err := guard.CheckURL(raw, netguard.Webhook)
		var refusal *netguard.Refusal
		if errors.As(err, &refusal) {
			fmt.Printf("%s: %s\n", refusal.Code, refusal.Message)
			continue
		}
		fmt.Println(u)
	}
	// Output:
	// https://hooks.example.com/generation
	// not_public: destination is not a public address
	// url_userinfo: URL must not have a user name or password
}

// A demo, a test or a self-hoster opens exactly what it needs.
func ExampleConfig() {
	guard := netguard.New(netguard.Config{
		AllowHTTP:     true,
		AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		AllowHosts:    []string{"hooks.corp.internal"},
	})
	for _, raw := range []string{"http://localhost:8080/", "http://hooks.corp.internal/", "http://10.0.0.1/"} {
		_, err := guard.CheckURL(raw, netguard.Webhook)
		fmt.Println(raw, err == nil)
	}
	// Output:
	// http://localhost:8080/ true
	// http://hooks.corp.internal/ true
	// http://10.0.0.1/ false
}
