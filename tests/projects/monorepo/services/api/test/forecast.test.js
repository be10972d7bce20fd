import assert from 'node:assert/strict'
import { test } from 'node:test'
import { forecast } from '../src/forecast.js'

test('a city in both units', () => {
  assert.equal(forecast('Oslo').degrees, 4)
  assert.equal(forecast('Oslo', 'imperial').degrees, 39)
})

test('an unknown city', () => {
  assert.equal(forecast('Atlantis'), undefined)
})
