// Package arch holds the architecture of the project as a test: which layer each package belongs
// to, what a layer may import, what is forbidden where and why, and every direct dependency with
// its licence. Change the tables of the test together with docs/architecture.md.
package arch
