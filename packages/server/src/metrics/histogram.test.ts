import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exposition } from './exposition.ts'
import { Histogram } from './histogram.ts'

test('a value is counted in every bound that it is within, as often as it was there, and by its labels', () => {
  const histogram = new Histogram({ name: 'incipit_test', help: 'Of this test.' }, [1, 2])
  histogram.observe({ tier: 'chat' }, 0.5)
  histogram.observe({ tier: 'chat' }, 2, 3)
  histogram.observe({ tier: 'chat' }, 9)
  histogram.observe({ tier: 'code' }, 1)
  assert.equal(
    exposition([histogram.family]),
    `# HELP incipit_test Of this test.
# TYPE incipit_test histogram
incipit_test_bucket{tier="chat",le="1"} 1
incipit_test_bucket{tier="chat",le="2"} 4
incipit_test_bucket{tier="chat",le="+Inf"} 5
incipit_test_sum{tier="chat"} 15.5
incipit_test_count{tier="chat"} 5
incipit_test_bucket{tier="code",le="1"} 1
incipit_test_bucket{tier="code",le="2"} 1
incipit_test_bucket{tier="code",le="+Inf"} 1
incipit_test_sum{tier="code"} 1
incipit_test_count{tier="code"} 1
`,
  )
})
