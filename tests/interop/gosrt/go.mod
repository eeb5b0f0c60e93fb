// gosrt's own client, which the tests run: `make srt-peers`.
module gosrt-client

go 1.20

require (
	github.com/benburkert/openpgp v0.0.0-20160410205803-c2471f86866c // indirect
	github.com/datarhei/gosrt v0.9.0
	golang.org/x/crypto v0.33.0 // indirect
	golang.org/x/sys v0.30.0 // indirect
)
