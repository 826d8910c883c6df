// Package netguard is the only way out of Kinora to an address that a user chose: webhook destinations, source URLs,
// uploads by URL and output URLs. It answers one question, "may this connection be made?", and it answers it where
// the answer cannot be got round: in [net.Dialer.Control], on the numeric address that the kernel is about to dial.
//
// Three checks, each of which would do alone for what it sees:
//
//   - [Guard.CheckURL] reads the URL only. It exists for friendliness: a caller learns at submit time, without any
//     look-up, that a URL cannot be used. The clients run it again on every request and every redirect.
//   - The name is resolved here, once per dial, as a fully qualified name. Every address in the answer has to be
//     permitted, else the name is refused whole.
//   - Control judges the address and port of each connection attempt. Rebinding, odd spellings and whatever a resolver
//     may make of them all end there.
//
// # What is refused
//
// Addresses follow the IANA IPv4 and IPv6 Special-Purpose Address Registries, the two multicast registries and the
// rule that global unicast IPv6 is 2000::/3 (IANA IPv6 Global Unicast Address Assignments). Blocks that the
// registries call globally reachable but where no web server can be (AS112 sinks, AMT and anycast relays) go too.
//
//	IPv4                                        why
//	0.0.0.0/8                                   this host (Linux connects 0.0.0.0 to loopback)
//	10/8  172.16/12  192.168/16                 private use
//	100.64/10                                   shared address space, carriers and overlay networks
//	127/8                                       loopback
//	169.254/16                                  link-local, cloud metadata
//	192.0.0/24                                  IETF protocol assignments, with DS-Lite, PCP, NAT64 discovery
//	192.0.2/24  198.51.100/24  203.0.113/24     documentation
//	192.31.196/24  192.175.48/24                AS112 sinks
//	192.52.193/24  192.88.99/24                 AMT, 6to4 and 6a44 relays
//	198.18/15                                   benchmarking
//	224/4  240/4  255.255.255.255               multicast, reserved, broadcast
//	168.63.129.16                               Azure's platform endpoint, which only looks public
//
//	IPv6                                        why
//	everything outside 2000::/3                 not global unicast: ::, ::1, fc00::/7, fe80::/10, fec0::/10, ff00::/8,
//	                                            100::/64 discard, 100:0:0:1::/64 dummy, 5f00::/16 SRv6 SIDs
//	::/96  ::ffff:0:0/96  ::ffff:0:0:0/96       IPv4 inside IPv6: compatible, mapped, translated
//	64:ff9b::/96  64:ff9b:1::/48                IPv4 inside IPv6: NAT64, well known and local use
//	2001::/23                                   IETF protocol assignments: Teredo 2001::/32, benchmarking, AMT, AS112,
//	                                            ORCHID and ORCHIDv2, drone identifiers, anycast relays
//	2002::/16                                   IPv4 inside IPv6: 6to4
//	*:0:5efe:a.b.c.d, *:200:5efe:a.b.c.d        IPv4 inside IPv6: ISATAP, when the wrapped address is refused itself
//	2001:db8::/32  3fff::/20                    documentation
//	2620:4f:8000::/48                           AS112 sink
//	any address with a zone                     meaningful on this host only
//
//	names                                       why
//	localhost, *.localhost                      loopback by definition (RFC 6761); never looked up
//	*.local *.internal *.home.arpa *.lan …      private name spaces (RFC 6762 with its appendix G, RFC 8375, ICANN's .internal)
//	a name without a dot                        only a search list or a hosts file could give it a meaning
//	a last label that is a number               decimal, octal, hexadecimal and short spellings of IPv4
//	                                            (2130706433, 0x7f.1, 127.1); no public top-level domain looks like that
//	a name with one refused address             an answer that mixes public and private is a rebinding kit
//
//	URLs                                        why
//	http, unless switched on (webhooks)         the payload would travel in the clear
//	other schemes, user names, fragments        nothing a webhook or a source needs; each has fooled a parser somewhere
//	backslashes, white space, control bytes,    parsers disagree on them
//	percent-encoded hosts
//	more than 2,048 bytes (fetches: 8,192)      more than a destination needs
//	ports other than 443 (80 with http)         an HTTP client must not talk to mail, database or cache servers
//
// Hosts written in Unicode (full-width or circled digits, ideographic full stops, soft hyphens) are folded exactly as
// net/http would fold them, and everything above is asked again of the result; the caller gets the folded URL back.
//
// An operator who hosts receivers inside opens what is needed, by prefix ([Config.AllowPrefixes]) or by name
// ([Config.AllowHosts]), so that nobody has to switch the guard off.
//
// # Through a proxy
//
// With [Config.Proxy] every connection is a CONNECT tunnel through an operator's HTTP proxy. All three checks stay as
// they are, and stay here: the name is resolved on this machine, and the CONNECT line holds the one address that was
// judged, never a name, so that the proxy has nothing to resolve and a rebinding name server nothing to answer. TLS is
// spoken with the destination, through the tunnel. The proxy itself is the operator's choice and is not judged.
//
// # What it does not do
//
// It does not retry, log, rate-limit, sign or decide whether a failure is final: it returns a [*Refusal], which is, or
// the network's own error, which is the caller's to judge. Organisations' host allowlists are the caller's as well. It
// cannot know that a public address belongs to the machine it runs on, nor that a public host forwards inwards.
// Upstream APIs that the operator configured do not have to pass here.
package netguard
