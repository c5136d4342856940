import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { cut, decimal, defined, integer, namedFile, threads } from './options.ts'

describe('integer', () => {
  it('reads whole numbers in range', () => {
    assert.equal(integer(1)('42'), 42)
    assert.equal(integer(Number.MIN_SAFE_INTEGER)('-7'), -7)
  })
  for (const bad of ['', '1.5', '3x', 'x', '0', '11', '1e1', ' 5']) {
    it(`refuses ${JSON.stringify(bad)} from 1 to 10`, () => {
      assert.throws(() => integer(1, 10)(bad), /from 1 to 10/)
    })
  }
})

describe('decimal', () => {
  it('reads numbers in range', () => assert.equal(decimal(0, 1)('0.25'), 0.25))
  for (const bad of ['', ' ', '-0.1', '1.01', 'NaN', 'Infinity', 'half']) {
    it(`refuses ${JSON.stringify(bad)} from 0 to 1`, () => {
      assert.throws(() => decimal(0, 1)(bad), /from 0 to 1/)
    })
  }
  it('has no infinity where there is no upper bound', () => assert.throws(() => decimal(0)('Infinity')))
})

describe('cut', () => {
  it('reads words and layers', () => {
    assert.equal(cut('auto'), 'auto')
    assert.equal(cut('none'), 'none')
    assert.deepEqual(cut('8'), [8])
    assert.deepEqual(cut('8,16'), [8, 16])
  })
  for (const bad of ['', '0', '16,8', '8,8', '8,', ',8', '-8', '8.5', 'all']) {
    it(`refuses ${JSON.stringify(bad)}`, () => {
      assert.throws(() => cut(bad), /ascending layer numbers/)
    })
  }
})

describe('threads', () => {
  it('reads one number, or one per stage', () => {
    assert.equal(threads('2'), 2)
    assert.deepEqual(threads('1,1'), [1, 1])
    assert.deepEqual(threads('4,2,1'), [4, 2, 1])
  })
  for (const bad of ['', '0', '1,0', '1,', ',1', '-1', '1.5', 'all', '1 ,1']) {
    it(`refuses ${JSON.stringify(bad)}`, () => assert.throws(() => threads(bad), /one per stage/))
  }
})

describe('namedFile', () => {
  it('collects names with their files', () => {
    const first = namedFile('a=system.txt', undefined)
    assert.deepEqual(namedFile('b=x=y.txt', first), [
      { name: 'a', file: 'system.txt' },
      { name: 'b', file: 'x=y.txt' },
    ])
  })
  for (const bad of ['', 'a', 'a=', '=file', '=']) {
    it(`refuses ${JSON.stringify(bad)}`, () => assert.throws(() => namedFile(bad, undefined), /NAME=FILE/))
  }
  it('refuses a name that is given twice', () => {
    assert.throws(() => namedFile('a=2', [{ name: 'a', file: '1' }]), /given twice/)
  })
})

describe('defined', () => {
  it('drops undefined members and keeps falsy ones', () => {
    assert.deepEqual(Object.keys(defined({ a: undefined, b: 0, c: '', d: false, e: null })), ['b', 'c', 'd', 'e'])
  })
})
