// Package crash kills the real program at random points and checks that nothing it
// acknowledged is lost, paid twice or left untold. It holds tests only.
//
//	make crash              # 200 rounds on each database
//	make crash ROUNDS=20
package crash
